"""What models return: outputs, what they mean, and what they depend on."""
