"""One module per kind of thing that can be measured. Knows models and statistics, not pytest."""
