"""Reads limits and quantities: the one grammar of markers, TOML and the command line."""
