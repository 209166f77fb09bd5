"""The catalogue of KPIs, a file per pillar, and how each is derived from a measurement."""
