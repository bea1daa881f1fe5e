"""The operators' view: metrics, alerts, dashboard, and their documentation."""
