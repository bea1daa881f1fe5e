"""What operators look at: metrics, alerts, dashboard, and what the documentation says of them."""
