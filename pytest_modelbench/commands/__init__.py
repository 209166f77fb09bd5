"""What the console runs."""
