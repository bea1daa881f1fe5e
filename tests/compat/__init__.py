"""`make compat`: the end-to-end tests on every Envoy that docs/compatibility.md names."""
