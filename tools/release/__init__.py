"""`make release-check`: builds the parts of a release, and proves everything that one machine can prove."""
