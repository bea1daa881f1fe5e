"""The gallery of origins: one table of what origins do, and what is made of it.

`origins.json` is the table. `tests/plugin/gallery.rs` runs it natively, `tests/e2e/test_gallery.py` through
the real Envoy, and `make docs` writes it into `docs/origins.md`.
"""
