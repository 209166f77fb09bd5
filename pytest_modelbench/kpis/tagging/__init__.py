"""A tag for each word or token: KPIs of the task tagging."""
