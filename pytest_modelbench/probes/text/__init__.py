"""What models that generate text answer, how likely they find stated texts, and when their tokens arrive."""
