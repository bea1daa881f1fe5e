"""A shorter bench: `SHORT=3` makes a third of all turns. Loads and objects stay the same."""

from __future__ import annotations

import math
import os

SHORT = float(os.environ.get("SHORT") or 1)


def rounds(count: int, short: float = SHORT) -> int:
    """Returns the number of turns instead of so many: one at least."""
    return max(math.ceil(count / short), 1)
