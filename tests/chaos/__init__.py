"""Thousands of requests against an origin and a bucket that fail in every way, as a seed decides.

    python -m chaos          # SEED=1 SEEDS=500

A seed decides what there is, what goes wrong and what clients do (`plan`); `run` carries that out through
the real Envoy and holds it against what may never happen. Which request meets which fault is up to the
machine, so a replay repeats the circumstances, not each byte.
"""
