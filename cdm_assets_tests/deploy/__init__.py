"""`deploy/` validated without a cluster: by schemas of Dagster, of Kubernetes and of the chart's values."""
