"""Reports of a session. They know results only."""
