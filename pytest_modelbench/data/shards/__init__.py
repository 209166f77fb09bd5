"""Evaluation data in many files: how one is read, what is known of all, and what may not differ between them."""
