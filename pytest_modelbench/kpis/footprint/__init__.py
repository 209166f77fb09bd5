"""What a model occupies and uses."""
