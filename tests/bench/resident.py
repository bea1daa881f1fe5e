"""How much memory a process has come to occupy, as the kernel counts it: see proc_pid_status(5)."""

from __future__ import annotations

import re
import time
from pathlib import Path

MIB_IN_KIB = 1024

SETTLING = 1.0
"""Seconds after the last byte until what is resident is what stays."""


class Growth:
    """Of one process, from now on, in MiB."""

    def __init__(self, pid: int) -> None:
        self._process = Path("/proc", str(pid))
        # 5 sets the peak, VmHWM, back to what is resident now: proc_pid_clear_refs(5).
        (self._process / "clear_refs").write_text("5")
        self._base = self._read("VmRSS")

    def peak(self) -> float:
        return self._read("VmHWM") - self._base

    def settled(self) -> float:
        time.sleep(SETTLING)
        return self._read("VmRSS") - self._base

    def _read(self, name: str) -> float:
        status = (self._process / "status").read_text()
        (kib,) = re.findall(rf"^{name}:\s+(\d+) kB$", status, re.MULTILINE)
        return int(kib) / MIB_IN_KIB
