"""Thousands of requests against an origin and a bucket that fail in every way, as a seed decides.

    python -m chaos          # SEED=1 SEEDS=500

A seed decides the objects, the faults and the clients' requests (`plan`). `run` carries that out through the
real Envoy and checks the invariants. The machine decides which request meets which fault, so a replay repeats
the circumstances, not each byte.
"""
