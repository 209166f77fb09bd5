"""Vectors whose distances mean something: KPIs of the task embedding."""
