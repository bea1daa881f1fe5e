"""End-to-end tests: a client, the real Envoy with the shipped configuration, a store and an origin."""
