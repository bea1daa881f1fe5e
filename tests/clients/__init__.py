"""`make clients`: real S3 clients at pinned versions, each with cold keys, through both wirings.

`catalogue` says what they are and how they are called, `programs/` calls those that are libraries, `trial`
runs one, and `browser` is `make browser`.
"""
