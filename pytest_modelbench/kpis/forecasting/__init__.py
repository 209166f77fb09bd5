"""Values of the next steps of series: KPIs of the task forecasting."""
