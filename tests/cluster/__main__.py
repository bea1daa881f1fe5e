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
from .platforms import PLATFORMS
from .server import Server, running

ALL = {**CHART, **CHECKS, **LIFE, **PLATFORMS}


def main() -> int:
    try:
        program, definitions = go.control_plane(), go.definitions()
        go.gateway()
        go.istio()
        failed = 0
        with tempfile.TemporaryDirectory() as name, running(program, Path(name)) as server:
            for file in definitions:
                server.told("apply", "--server-side", "-f", file)
            failed += run(ALL, server, Path(name))
        options = ["--feature-gates=ImageVolume=false"]
        with (
            tempfile.TemporaryDirectory() as name,
            running(program, Path(name), *options, judging_only=True) as server,
        ):
            failed += run(WITHOUT_IMAGE_VOLUMES, server, Path(name))
    except (AssertionError, StackError) as error:
        print(f"make kubernetes: {error}", file=sys.stderr)
        return 2
    print(f"{len(ALL) + len(WITHOUT_IMAGE_VOLUMES) - failed} passed, {failed} failed")
    return 1 if failed else 0


def run(checks: dict[str, Check], server: Server, work: Path) -> int:
    failed = 0
    for name, check in checks.items():
        begin = time.monotonic()
        try:
            check(server, work)
        except (AssertionError, StackError) as error:
            failed += 1
            result, why = "FAILED", f"\n{error}"
        else:
            result, why = "passed", ""
        print(f"{result} {time.monotonic() - begin:6.1f} s  {name}{why}", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main())
