"""Boxes around objects: KPIs of the task detection."""
