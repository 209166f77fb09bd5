"""Whether a model can be trusted to answer at all."""
