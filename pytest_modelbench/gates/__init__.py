"""What is asked for: gates from markers, from modelbench.toml and from suites."""
