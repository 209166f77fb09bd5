"""KPIs of the deployment pillar: whether the file that ships is the model that was judged."""
