"""Engines: where the pass over data in shards runs. One file for each; `engine` is what they have in common."""
