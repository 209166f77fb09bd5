"""Evaluation data: any usual form of it, in batches of any size, never copied as a whole."""
