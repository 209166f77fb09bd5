"""A small extension of pytest-modelbench that adds one of everything."""
