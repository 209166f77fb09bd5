"""One adapter for each library whose models can be judged."""
