"""Items in order of relevance by query: KPIs of the task ranking."""
