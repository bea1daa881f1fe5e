"""`make clients`: real S3 clients at pinned versions, each with cold keys, through both wirings.

`catalogue` lists the clients and their calls, `programs/` calls those that are libraries, `trial` runs one,
and `browser` is `make browser`.
"""
