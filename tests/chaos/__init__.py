"""Thousands of requests against an origin and a bucket with every kind of fault, as a seed decides.

    python -m chaos          # SEED=1 SEEDS=500

A seed decides the bucket's ways, the objects, the faults and the clients (`plan`, `trouble`). `run` carries
that out through two real Envoys on one bucket and checks the invariants (`verdict`). The bucket holds one
whole version of each object. No object of another writer is overwritten. No client gets an object that the
bucket denies. Every client gets an answer in time. The machine decides which request meets which fault, so a
replay repeats the circumstances, not each byte.

The clock of a real Envoy cannot be set from here; `tests/plugin` and `tests/fuzz` set theirs.
"""
