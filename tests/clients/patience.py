"""The second part of `make clients-large`: how long clients go on asking for a slow object without `stream`.

The origin takes 90 s for 100 MiB, and each attempt ends with 503 and `Retry-After: 5` after `wait`, 25 s.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

from doubles import StrictBucket
from doubles.large_origin import Large, LargeOrigin
from stack import Stack
from stack.render import CHECKOUT

from .catalogue import CLIENTS, Ask, Client
from .readers import whole
from .tables import fill_in
from .trial import environment, version

SIZE = 100 << 20
SECONDS = 90
AT_ONCE = 6
"""Trials at a time: nearly all of them wait."""
GIVES_UP = 300
RESULTS = CHECKOUT / "target" / "clients-patience.json"


def main() -> int:
    only = re.compile(os.environ.get("ONLY") or "")
    results: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(AT_ONCE) as pool:
        home = Path(name)
        wanted = [each for each in CLIENTS if only.search(each.name) and version(each.version, home)]
        directories = [home / str(number) for number in range(len(wanted))]
        for client, found in zip(wanted, pool.map(attempt, wanted, directories), strict=True):
            results[client.name] = found
            RESULTS.write_text(json.dumps(results, indent=1))
            print(f"{client.name}: {found}", flush=True)
    fill_in("patience", list(rows(results)))
    return 0


def attempt(client: Client, directory: Path) -> dict[str, Any]:
    directory.mkdir()
    key = "cold/object.bin"
    options = {
        "workers": 1,
        "wiring": "transparent",
        "plugin": {"bucket": {"exposed": "path"}, "stream": None},
    }
    with LargeOrigin(SIZE / SECONDS) as origin, StrictBucket() as store:
        large = origin.put(f"/{key}", Large(SIZE))
        with Stack(directory, origin=origin.url, store=store, **options) as stack:
            ask = Ask("download", stack.url, store.bucket, key, directory / "output")
            begun = time.monotonic()
            right = downloads(client, ask, large)
            seconds = round(time.monotonic() - begun)
        lines = map(json.loads, stack.edge.access_log_path.read_text().splitlines())
    of_object = [line for line in lines if key in (line["path"] or "")]
    return {"right": right, "seconds": seconds, **attempts(of_object)}


def downloads(client: Client, ask: Ask, large: Large) -> bool:
    try:
        done = subprocess.run(
            client.command(ask),
            cwd=ask.output.parent,
            env=environment(ask.output.parent),
            capture_output=True,
            timeout=GIVES_UP,
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0 and ask.output.exists() and not whole(ask.output, large)


def attempts(answers: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Counts the attempts up to the first that has the object, and tells if 5 s are between them.

    One that the client broke off has no status.
    """
    times, gaps, ended = 0, [], None
    in_turn = sorted(((moment(each), each) for each in answers), key=lambda pair: pair[0])
    for begun, each in in_turn:
        times += 1
        if ended is not None:
            gaps.append(begun - ended)
        if 200 <= each["status"] < 300:
            break
        ended = begun + int(each["ms"]) / 1000
    return {"attempts": times, "honours": bool(gaps) and min(gaps) > 4}


def moment(answer: Mapping[str, Any]) -> float:
    return datetime.fromisoformat(answer["time"].rstrip("Z")).timestamp()


def rows(results: Mapping[str, Mapping[str, Any]]) -> Iterable[str]:
    yield "| client | attempts | `Retry-After` | outcome |"
    yield "| --- | --- | --- | --- |"
    for client in CLIENTS:
        if found := results.get(client.name):
            outcome = f"{'right' if found['right'] else 'error'} after {found['seconds']} s"
            honours = "" if found["attempts"] == 1 else "honoured" if found["honours"] else "ignored"
            yield f"| {client.name} | {found['attempts']} | {honours} | {outcome} |"


if __name__ == "__main__":
    sys.exit(main())
