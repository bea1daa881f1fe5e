"""Sizes of objects as a site has them: many small ones, and few that are large."""

from __future__ import annotations

import random
from pathlib import Path

KIB, MIB = 1 << 10, 1 << 20

SMALLEST, LARGEST = KIB, 8 * MIB
MEDIAN = 32 * KIB
SPREAD = 2.0
"""The deviation of the sizes' natural logarithms. With it one object of 24 has the smallest size, one of 250
is larger than 6 MiB, and the mean is six times the median.
"""
SEED = 22


def sizes(count: int) -> list[int]:
    """Returns the same sizes for the same count, on any machine."""
    chance = random.Random(SEED)
    drawn = (MEDIAN * chance.lognormvariate(0, SPREAD) for _ in range(count))
    return [min(max(int(size), SMALLEST), LARGEST) for size in drawn]


def write(directory: Path, count: int) -> Path:
    """Writes them as load.rs reads them."""
    path = directory / "sizes"
    path.write_text("".join(f"{size}\n" for size in sizes(count)))
    return path
