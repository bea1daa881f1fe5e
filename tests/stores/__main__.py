"""Tries every server that this machine has, or the one of S3_ENDPOINT=, and tells if it will do.

The last line counts. A fault of a server that explained.json explains is no failure, and one that it does not
explain is. With ONLY=, names with commas between them, these servers alone are tried.
"""

from __future__ import annotations

import os
import secrets
import sys
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from http.client import HTTPException
from pathlib import Path
from typing import Any

from stack.children import StackError
from stack.render import FILES, merge
from stack.settings import Settings, SettingsError, parse
from stack.store import S3Store

from . import checks, facts, table, verdict
from .servers import SERVERS, Local
from .trial import Origin, Target, Trial

GIVEN = ("STORE_KIND", "IF_NONE_MATCH", "ADDRESSING_STYLE", "CONFIG")
"""Variables that set what a store needs."""


def main() -> int:
    try:
        wanted = parse(os.environ)
        if wanted.ca_file:
            os.environ["SSL_CERT_FILE"] = str(wanted.ca_file)  # Where Envoys and the checks look.
        with tempfile.TemporaryDirectory(prefix="stores-") as name:
            return of_users(wanted, Path(name)) if wanted.store else of_machine(Path(name))
    except SettingsError as error:
        for problem in error.problems:
            print(f"make stores: {problem}", file=sys.stderr)
    except StackError as error:
        print(f"make stores: {error}", file=sys.stderr)
    return 2


def of_machine(directory: Path) -> int:
    only = [name for name in os.environ.get("ONLY", "").split(",") if name]
    unknown = set(only) - {server.name for server in SERVERS}
    if unknown:
        known = ", ".join(server.name for server in SERVERS)
        raise StackError(f"ONLY={','.join(only)} is not allowed; allowed are {known}")
    wanted = [server for server in SERVERS if not only or server.name in only]
    there = [(server, version) for server in wanted if (version := server.version())]
    why = table.explained()
    rows = table.load()
    passed, failed = 0, 0
    for server, version in there:
        try:
            cells = measured(server, directory)
        except StackError as error:
            print(f"FAILED {server.title} {version}: {error}", flush=True)
            failed += 1
            continue
        title = f"{server.title} {version}"
        print("\n".join([*table.of_one(title, cells), *table.conclusion(title, cells)]), flush=True)
        rows[server.name] = table.Row(server.title, server.kind or server.name, version, cells)
        found = verdict.surprises(cells, why.get(server.name, {}))
        for surprise in found:
            print(f"FAILED {server.title}: {surprise}", flush=True)
        failed += len(found)
        passed += sum(1 for said in cells.values() if not said.startswith(verdict.UNTRIED)) - len(found)
    rows = {server.name: rows[server.name] for server in SERVERS if server.name in rows}
    table.save(rows)
    table.PAGE.write_text(table.page(table.PAGE.read_text(), rows, why))
    print("\n".join(["", *table.of_settings(rows), "", *table.of_checks(rows, why), ""]))
    for server in wanted:
        if server not in [each for each, _ in there]:
            print(f"not tried: {server.title}. {server.install}")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not there else 0


def measured(server: type[Local], directory: Path) -> verdict.Cells:
    """Starts a server anew for each wiring: one of them ends at a long name."""
    found: dict[str, str] = {}
    said: dict[str, dict[str, str]] = {}
    for wiring in FILES:
        with server(directory / f"{server.name}-{wiring}") as running, Origin() as origin:
            target = running.target()
            found = found or facts.ask(target, "facts/")
            trial = Trial(wiring, origin, target, target.bucket(), "trial/", _plugin(found), running.home)
            said[wiring] = tried(trial)
    return {**found, **_joined(said)}


def of_users(wanted: Settings, directory: Path) -> int:
    """Tries a store of the user's own. It writes below a prefix of its own, and removes that."""
    assert wanted.store
    store = wanted.store
    store.check()
    prefix = f"mirror-on-miss-{secrets.token_hex(6)}/"
    condition = wanted.plugin.get("bucket", {}).get("if_none_match")
    target = Target(store, store.writer, versioned=_versioned(store))
    if isinstance(condition, str):
        target = replace(target, condition=condition)
    given = [f"{name}={os.environ[name]}" for name in GIVEN if os.environ.get(name)]
    said: dict[str, dict[str, str]] = {}
    with ExitStack() as ending:
        ending.callback(_remove, target, prefix)
        origin = ending.enter_context(Origin())
        found = facts.ask(target, prefix)
        for wiring in FILES:
            plugin = merge(_plugin(found), wanted.plugin)
            said[wiring] = tried(
                Trial(wiring, origin, target, target.bucket(), f"{prefix}{wiring}/", plugin, directory)
            )
    cells = {**found, **_joined(said)}
    title = f"{store.bucket} at {store.url}"
    print("\n".join(table.of_one(title, cells)))
    wrong = sum(map(verdict.is_no, cells.values()))
    print(f"{sum(said == verdict.YES for said in cells.values())} passed, {wrong} failed")
    print("\n".join(table.conclusion(title, cells, given)))
    return 1 if verdict.verdict(cells).startswith("will not do") else 0


def tried(trial: Trial) -> dict[str, str]:
    """Returns what each check says in one wiring."""
    said = {}
    with trial.running() as running:
        for name, check in checks.CHECKS.items():
            own = running.named(check.__name__)
            try:
                untried = check(own)
                said[name] = f"{verdict.UNTRIED} {untried}" if untried else verdict.YES
            except (AssertionError, OSError, HTTPException, StackError) as error:
                said[name] = str(error).replace("\n", " ")[:200] or type(error).__name__
    return said


def _plugin(found: verdict.Cells) -> Mapping[str, Any]:
    return verdict.settings(found).plugin()


def _joined(said: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    return {name: verdict.joined({wiring: said[wiring][name] for wiring in said}) for name in checks.CHECKS}


def _versioned(store: S3Store) -> str | None:
    """Looks if the bucket has versioning, and turns nothing on."""
    status, _, body = store.request("GET", "", store.writer, query={"versioning": ""})
    return store.bucket if status == 200 and b"<Status>Enabled" in body else None


def _remove(target: Target, prefix: str) -> None:
    try:
        left = target.bucket().remove(prefix)
    except AssertionError as error:
        print(f"NOT REMOVED: all below {prefix}: {error}")
    else:
        print(f"removed all below {prefix}" if not left else f"NOT REMOVED: {', '.join(left)}")


if __name__ == "__main__":
    sys.exit(main())
