"""Manifests that repeat another file in the form that Kubernetes wants."""
