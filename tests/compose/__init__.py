"""Brings envoy/docker-compose.yaml up for real, in an engine of its own and without an image registry.

The images that the file names are built here, from what pip and the machine have: `images` says which of them
is the real program and which a stand-in. `python -m compose` is `make compose-test`.
"""
