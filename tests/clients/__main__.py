"""Tries every client and tool in every setup, and writes the tables of docs/clients.md.

The exit code is 0 if all is right through the transparent wiring, and no client saw a redirect there. A
program that is not installed is named in the end. With ONLY=, a regular expression, these alone are tried;
the tables keep what target/clients.json has of the others.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

from stack.render import CHECKOUT

from .catalogue import CLIENTS
from .tables import write
from .tools import TOOLS, failure_of, is_installed
from .trial import SETUPS, Endpoint, version

RESULTS = CHECKOUT / "target" / "clients.json"

Results = dict[str, Any]
"""By client or tool: `version`, and by setup the verdicts."""


def main() -> int:
    only = re.compile(os.environ.get("ONLY") or "")
    results: Results = json.loads(RESULTS.read_text()) if only.pattern and RESULTS.exists() else {}
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        directory.chmod(0o755)
        wanted = [each for each in (*CLIENTS, *TOOLS) if only.search(each.name)]
        versions = {each.name: version(each.version, directory) for each in wanted}
        missing = [name for name, found in versions.items() if not found]
        results.update({name: {"version": found} for name, found in versions.items() if found})
        for name in missing:
            results.pop(name, None)
        for setup in SETUPS:
            with Endpoint(setup, directory) as endpoint:
                _try_clients(setup.name, endpoint, results, only)
                _try_tools(setup.name, endpoint, results, only, directory)
            RESULTS.parent.mkdir(exist_ok=True)
            RESULTS.write_text(json.dumps(results, indent=1))
    write(results)
    wrong = [name for name, found in results.items() if not _is_right(found.get("transparent", {}))]
    print(f"{len(results)} clients; wrong through the transparent wiring: {', '.join(wrong) or 'none'}")
    print(f"not installed: {', '.join(missing) or 'none'}")
    return 1 if wrong else 0


def _try_clients(setup: str, endpoint: Endpoint, results: Results, only: re.Pattern[str]) -> None:
    for client in CLIENTS:
        # The third setup is for clients that follow redirects at all.
        if (
            client.name not in results
            or not only.search(client.name)
            or (setup == "distinct" and client.signs)
        ):
            continue
        tried = [endpoint.tries(client, each) for each in client.operations]
        verdict = {each.operation: each.right for each in tried}
        results[client.name][setup] = {**verdict, "redirects": sum(each.redirects for each in tried)}
        _print(setup, client.name, [f"{each.operation}: {each.said}" for each in tried if each.said])


def _try_tools(
    setup: str, endpoint: Endpoint, results: Results, only: re.Pattern[str], directory: Path
) -> None:
    for number, tool in enumerate(TOOLS):
        if tool.name not in results or not only.search(tool.name) or not is_installed(tool):
            continue
        failure = failure_of(tool, endpoint, directory / f"{setup}-tool-{number}")
        results[tool.name][setup] = {"reads": not failure}
        _print(setup, tool.name, [failure] if failure else [])


def _print(setup: str, name: str, failures: list[str]) -> None:
    print(f"{setup}: {name}: {'; '.join(failures) or 'right'}", flush=True)


def _is_right(verdict: dict[str, Any]) -> bool:
    return (
        bool(verdict)
        and all(right for each, right in verdict.items() if each != "redirects")
        and not (verdict.get("redirects"))
    )


if __name__ == "__main__":
    sys.exit(main())
