"""How well a model knows what it does not know."""
