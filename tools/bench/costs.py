"""Who computes how long for one request of a load, and what the processors could do besides."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from .native import Load
from .resident import cpu_seconds, idle_seconds


@dataclass(frozen=True)
class Profile:
    """A load, and where the time of the processors went meanwhile."""

    load: Load
    cpu: Mapping[str, float]
    """Seconds that each process computed, the load itself among them."""
    idle: float
    """Processors that had nothing to do, on average."""

    @property
    def used(self) -> float:
        """Processors that worked on it, on average. What both leave of the machine, other programs took."""
        return sum(self.cpu.values()) / self.load.seconds

    @property
    def for_one(self) -> dict[str, float]:
        """Microseconds for one request, by process."""
        return {name: seconds / self.load.requests * 1e6 for name, seconds in self.cpu.items()}


def profiled(pids: Mapping[str, int], run: Callable[[], Load]) -> Profile:
    start, idle = time.monotonic(), idle_seconds()
    before = {name: cpu_seconds([pid]) for name, pid in pids.items()}
    load = run()
    cpu = {name: cpu_seconds([pid]) - before[name] for name, pid in pids.items()}
    idle = (idle_seconds() - idle) / (time.monotonic() - start)
    return Profile(load, {**cpu, "load": load.cpu_seconds}, idle)


def highest_ratio(profile: Profile, other: Profile, *, free: str) -> float:
    """The rate that the first load could have at most, over that of the other, if one process cost nothing.

    The other's processor time, and all that it left idle, would be spent on the first's remaining costs.
    What other programs took from the machine counts for neither.
    """
    needed = sum(us for name, us in profile.for_one.items() if name != free) / 1e6
    return (other.used + other.idle) / needed / other.load.per_second
