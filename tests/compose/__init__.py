"""Starts envoy/docker-compose.yaml for real, in an engine of its own and without an image registry.

The images that the file names are built here, from the packages of pip and the machine's programs. `images`
tells which of them is the real program and which a stand-in. `python -m compose` is `make compose-test`.
"""
