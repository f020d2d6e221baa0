"""What operators ask: what is loaded, what is stale, what failed. Plain Python on the control tables, no Dagster."""
