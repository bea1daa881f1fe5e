"""Tests of the files for containers, Kubernetes and AWS: a tool of its own judges each."""
