"""KPIs of a model under the load that production offers."""
