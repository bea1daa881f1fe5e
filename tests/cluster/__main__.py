"""Applies the manifests to a real control plane, and runs what two platforms make of them."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from stack.children import StackError

from . import go
from .chart import CHECKS as CHART
from .checks import CHECKS, WITHOUT_IMAGE_VOLUMES, Check
from .life import LIFE
from .page import FOLLOWED
from .platforms import PLATFORMS
from .server import Server, running

GROUPS: list[tuple[dict[str, Check], list[str], bool]] = [
    ({**CHART, **CHECKS, **LIFE, **PLATFORMS}, [], False),
    (FOLLOWED, [], False),
    (WITHOUT_IMAGE_VOLUMES, ["--feature-gates=ImageVolume=false"], True),
]
"""Checks of one cluster, the options of its API server, and whether that is all of it."""


def main() -> int:
    failed = 0
    try:
        program, definitions = go.control_plane(), go.definitions()
        go.gateway()
        go.gateway_server()
        go.istio()
        go.helm3()
        for checks, options, judging_only in GROUPS:
            with (
                tempfile.TemporaryDirectory() as name,
                running(program, Path(name), *options, judging_only=judging_only) as server,
            ):
                for file in definitions:
                    server.told("apply", "--server-side", "-f", file)
                failed += run(checks, server, Path(name))
    except (AssertionError, StackError) as error:
        print(f"make kubernetes: {error}", file=sys.stderr)
        return 2
    print(f"{sum(len(checks) for checks, *_ in GROUPS) - failed} passed, {failed} failed")
    return 1 if failed else 0


def run(checks: dict[str, Check], server: Server, work: Path) -> int:
    failed = 0
    for name, check in checks.items():
        begin = time.monotonic()
        try:
            check(server, work)
        except (AssertionError, KeyError, StackError) as error:
            failed += 1
            result, why = "FAILED", f"\n{type(error).__name__}: {error}"
        else:
            result, why = "passed", ""
        print(f"{result} {time.monotonic() - begin:6.1f} s  {name}{why}", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main())
