"""Times models against each other, and what can disturb that."""
