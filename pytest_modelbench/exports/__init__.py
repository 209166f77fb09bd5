"""Turns a model into a file that a runtime executes, step by step, and says at which step it is not ready."""
