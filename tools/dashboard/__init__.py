"""A picture of the shipped dashboard, without Grafana."""
