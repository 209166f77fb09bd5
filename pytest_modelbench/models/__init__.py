"""Adapters that make anything which maps a batch to outputs measurable, and their registry."""
