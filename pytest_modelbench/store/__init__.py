"""What outlives a session: baselines, and the teacher as a contract."""
