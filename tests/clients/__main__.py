"""Tries every client through both wirings and prints the tables of docs/clients.md.

The exit code is 0 if all is right through the transparent wiring and no client saw a redirect there.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from stack.render import Wiring

from .catalogue import CLIENTS, Client, Operation
from .trial import Endpoint, Result, version

OPERATIONS: Sequence[Operation] = get_args(Operation)
TITLES = {"get": "GET", "range": "range", "head": "HEAD", "download": "20 MiB to a file"}


def main() -> int:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        versions = {client.name: version(client, directory) for client in CLIENTS}
        failures = []
        wirings: Sequence[Wiring] = get_args(Wiring)
        for wiring in reversed(wirings):
            print(f"\n{wiring} wiring\n", flush=True)
            results = tries(wiring, directory, versions)
            if wiring == "transparent":
                failures = [each for each in results if not each.right or each.redirects]
            for each in results:
                if each.said:
                    print(f"  {each.client}, {each.operation}: {each.said}")
    print(f"\n{len(failures)} of the transparent wiring's results are wrong")
    return 1 if failures else 0


def tries(wiring: Wiring, directory: Path, versions: dict[str, str]) -> list[Result]:
    print(f"| client | version | {' | '.join(TITLES[each] for each in OPERATIONS)} | 3xx seen |")
    print(f"| --- | --- |{' --- |' * len(OPERATIONS)} --- |")
    results = []
    with Endpoint(wiring, directory) as endpoint:
        for client in CLIENTS:
            own = {each: endpoint.tries(client, each) for each in OPERATIONS if each in client.operations}
            print(row(client, versions[client.name], own), flush=True)
            results += own.values()
    print(flush=True)
    return results


def row(client: Client, version: str, results: dict[Operation, Result]) -> str:
    verdicts = {each: "right" if result.right else "**wrong**" for each, result in results.items()}
    cells = [verdicts.get(each, "") for each in OPERATIONS]
    redirects = sum(each.redirects for each in results.values())
    return f"| {client.name} | {version} | {' | '.join(cells)} | {redirects or 'none'} |"


if __name__ == "__main__":
    sys.exit(main())
