"""What models answer beyond one label per sample: read once over the data, in the task's own form."""
