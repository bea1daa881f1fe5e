"""The processor time of each process for one request of a load, and the idle time of the processors."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from .native import Load
from .resident import cpu_seconds, idle_seconds


@dataclass(frozen=True)
class Profile:
    """A load, and the processor time spent meanwhile."""

    load: Load
    cpu: Mapping[str, float]
    """Seconds that each process computed, the load itself among them."""
    idle: float
    """Idle processors, on average."""

    @property
    def used(self) -> float:
        """Returns the processors that worked on it, on average. Other programs took the rest."""
        return sum(self.cpu.values()) / self.load.seconds

    @property
    def for_one(self) -> dict[str, float]:
        """Returns the microseconds for one request, by process."""
        return {name: seconds / self.load.requests * 1e6 for name, seconds in self.cpu.items()}


def profiled(pids: Mapping[str, int], run: Callable[[], Load]) -> Profile:
    start, idle = time.monotonic(), idle_seconds()
    before = {name: cpu_seconds([pid]) for name, pid in pids.items()}
    load = run()
    cpu = {name: cpu_seconds([pid]) - before[name] for name, pid in pids.items()}
    idle = (idle_seconds() - idle) / (time.monotonic() - start)
    return Profile(load, {**cpu, "load": load.cpu_seconds}, idle)


def highest_ratio(profile: Profile, other: Profile, *, free: str) -> float:
    """Returns the highest ratio of the first load's rate to the other's, if one process cost nothing.

    The other's processor time, and all that it left idle, would be spent on the first's remaining costs. The
    share of other programs on the machine counts for neither.
    """
    needed = sum(us for name, us in profile.for_one.items() if name != free) / 1e6
    return (other.used + other.idle) / needed / other.load.per_second
