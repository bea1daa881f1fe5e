"""`make release-check`: builds what a release holds, and proves of it what can be proved on one machine."""
