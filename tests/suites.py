"""`make test`: runs every suite with its output shown, and ends with one line: `N passed, N failed`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

CHECKOUT = Path(__file__).resolve().parents[1]
REPORT = CHECKOUT / "target" / "pytest.xml"
PYTEST_WORKERS = 2
"""Each starts stacks of its own, and a stack waits more than it computes."""


@dataclass(frozen=True)
class Count:
    passed: int
    failed: int

    def __add__(self, other: Count) -> Count:
        return Count(self.passed + other.passed, self.failed + other.failed)

    def checked(self, suite: str, exit_code: int) -> Count:
        """Counts a suite that crashed, or in which nothing ran, as failed even without a counted failure."""
        if self.failed == 0 and (exit_code != 0 or self.passed == 0):
            print(f"{suite}: exit code {exit_code} after {self.passed} tests", flush=True)
            return Count(self.passed, 1)
        return self


def cargo() -> Count:
    exit_code, output = run(["cargo", "test", "--locked", "--no-fail-fast"])
    results = re.findall(r"^test result: \w+\. (\d+) passed; (\d+) failed;", output, re.MULTILINE)
    count = Count(sum(int(passed) for passed, _ in results), sum(int(failed) for _, failed in results))
    return count.checked("cargo test", exit_code)


def pytest(*tests: str, **environment: str) -> Count:
    REPORT.unlink(missing_ok=True)
    options = [f"--numprocesses={PYTEST_WORKERS}", f"--junit-xml={REPORT}"]
    exit_code, _ = run([sys.executable, "-m", "pytest", *options, *tests], **environment)
    count = Count(0, 0)
    if REPORT.exists():
        for suite in ElementTree.parse(REPORT).iter("testsuite"):
            tests, skipped, failures, errors = (
                int(suite.get(name, "0")) for name in ("tests", "skipped", "failures", "errors")
            )
            count += Count(tests - skipped - failures - errors, failures + errors)
    return count.checked("pytest", exit_code)


def run(argv: Sequence[str], **environment: str) -> tuple[int, str]:
    """Runs a suite with its output shown as it comes. Returns its exit code and that output."""
    print(f"$ {' '.join(argv)}", flush=True)
    process = subprocess.Popen(
        argv,
        cwd=CHECKOUT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    assert process.stdout
    lines = []
    for line in process.stdout:
        print(line, end="", flush=True)
        lines.append(line)
    return process.wait(), "".join(lines)


def main() -> int:
    total = cargo() + pytest()
    print(f"{total.passed} passed, {total.failed} failed", flush=True)
    return 1 if total.failed else 0


if __name__ == "__main__":
    sys.exit(main())
