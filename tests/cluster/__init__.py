"""`make kubernetes`: the manifests on a real API server."""
