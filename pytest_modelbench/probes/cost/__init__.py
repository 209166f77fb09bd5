"""What a model costs: launches, memory, energy, operations."""
