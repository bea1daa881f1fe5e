"""Applies the manifests to a real API server, and ends with a table and a count."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from stack.children import StackError

from . import go
from .checks import CHECKS, WITHOUT_IMAGE_VOLUMES, Check
from .server import Server, running


def main() -> int:
    try:
        program, definitions = go.control_plane(), go.definitions()
        failed = 0
        for checks, options in ((CHECKS, []), (WITHOUT_IMAGE_VOLUMES, ["--feature-gates=ImageVolume=false"])):
            with tempfile.TemporaryDirectory() as name, running(program, Path(name), *options) as server:
                for file in definitions:
                    server.told("apply", "--server-side", "-f", file)
                failed += run(checks, server, Path(name))
    except (AssertionError, StackError) as error:
        print(f"make kubernetes: {error}", file=sys.stderr)
        return 2
    print(f"{len(CHECKS) + len(WITHOUT_IMAGE_VOLUMES) - failed} passed, {failed} failed")
    return 1 if failed else 0


def run(checks: dict[str, Check], server: Server, work: Path) -> int:
    failed = 0
    for name, check in checks.items():
        try:
            check(server, work)
        except AssertionError as error:
            failed += 1
            print(f"FAILED   {name}\n{error}", flush=True)
        else:
            print(f"accepted {name}", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main())
