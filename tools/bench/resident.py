"""The costs of processes, by the kernel's own accounts: memory as proc_pid_status(5) has it, and time."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

MIB_IN_KIB = 1024

SETTLING = 1.0
"""Seconds after the last byte until the resident size is stable."""

PROCESS_CLOCK = 2
"""CPUCLOCK_SCHED of <linux/posix-timers.h>: the nanoseconds that all threads of a process have run."""


class Growth:
    """The growth of one or more processes, from now on, in MiB."""

    def __init__(self, *pids: int) -> None:
        self._processes = [Path("/proc", str(pid)) for pid in pids]
        for process in self._processes:
            # 5 sets the peak, VmHWM, back to the resident size of now: proc_pid_clear_refs(5).
            (process / "clear_refs").write_text("5")
        self._base = self.now()

    def peak(self) -> float:
        return self.highest() - self._base

    def settled(self) -> float:
        time.sleep(SETTLING)
        return self.now() - self._base

    def now(self) -> float:
        """Returns everything resident."""
        return sum(_mib(process, "VmRSS") for process in self._processes)

    def highest(self) -> float:
        """Returns the peaks of all processes, each at its own worst moment."""
        return sum(_mib(process, "VmHWM") for process in self._processes)


def cpu_seconds(pids: Iterable[int]) -> float:
    """Returns the processor time of all of them so far, including that of ended threads."""
    # clock_getcpuclockid(3): the clock of a process is a number made of its id.
    return sum(time.clock_gettime((~pid << 3) | PROCESS_CLOCK) for pid in pids)


def idle_seconds() -> float:
    """Returns the idle time so far of the processors that this process may use: proc_stat(5)."""
    ours = {f"cpu{number}" for number in os.sched_getaffinity(0)}
    lines = (line.split() for line in Path("/proc/stat").read_text().splitlines())
    # The fourth figure is idle, the fifth the part of it in which something waited for a disk.
    ticks = sum(int(line[4]) + int(line[5]) for line in lines if line[0] in ours)
    return ticks / os.sysconf("SC_CLK_TCK")


def members(group: int) -> list[int]:
    """Lists the processes of a process group."""
    pids = []
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(ProcessLookupError):
            if os.getpgid(int(path.name)) == group:
                pids.append(int(path.name))
    return pids


def _mib(process: Path, name: str) -> float:
    status = (process / "status").read_text()
    (kib,) = re.findall(rf"^{name}:\s+(\d+) kB$", status, re.MULTILINE)
    return int(kib) / MIB_IN_KIB
