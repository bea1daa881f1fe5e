"""`make clients-large`: cold objects of 200 MiB from an origin of 5 MB/s, read while they are stored.

Each reader has an edge, an origin and a bucket of its own in each setup. It is right if it has every byte at
its first attempt, no answer was 503 or 412, and the bucket has the object in the end. The table also has
what the origin sent, in sizes of the object. The exit code is 0 if all is right.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from doubles import StrictBucket
from doubles.large_origin import Large, LargeOrigin
from stack import Stack
from stack.render import CHECKOUT, Wiring

from .catalogue import Ask
from .readers import SIZE, Reader, at_once, films, readers
from .tables import fill_in
from .trial import environment
from .web import chromium

RATE = 5e6
AT_ONCE = 6
"""Trials at a time: each is bounded by its origin and not by this machine."""
PATIENCE = 420
RESULTS = CHECKOUT / "target" / "clients-large.json"


@dataclass(frozen=True)
class Setup:
    title: str
    wiring: Wiring
    workers: int
    response: str = "serve"


SETUPS: Sequence[Setup] = (
    Setup("transparent", "transparent", 1),
    Setup("two workers", "transparent", 2),
    Setup("redirect wiring", "redirect", 1),
    Setup("`response: redirect`", "transparent", 1, "redirect"),
)


def main() -> int:
    only = re.compile(os.environ.get("ONLY") or "")
    browser = chromium()
    films()
    everyone = readers(browser)
    results: dict[str, dict[str, Any]] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    wanted = [
        (reader, setup)
        for setup in SETUPS
        for reader in everyone
        if only.search(reader.name) and is_for(reader, setup)
    ]
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(AT_ONCE) as pool:
        directories = [Path(name) / str(number) for number in range(len(wanted))]
        for (reader, setup), found in zip(wanted, pool.map(attempt, wanted, directories), strict=True):
            results.setdefault(reader.name, {})[setup.title] = found
            RESULTS.write_text(json.dumps(results, indent=1))
    fill_in("large", list(rows(everyone, results)))
    wrong = [reader.name for reader, setup in wanted if results[reader.name][setup.title]["wrong"]]
    print(f"{len(wanted)} downloads; wrong: {', '.join(wrong) or 'none'}")
    if not browser:
        print("not installed: Chromium")
    return 1 if wrong else 0


def is_for(reader: Reader, setup: Setup) -> bool:
    return (reader.follows or setup.wiring == "transparent") and not (
        reader.is_late and setup.response == "redirect"
    )


def attempt(wanted: tuple[Reader, Setup], directory: Path) -> dict[str, Any]:
    reader, setup = wanted
    directory.mkdir()
    found = Trial(reader, setup, directory).run()
    what = found["wrong"] or f"right after {found['seconds']} s"
    print(f"{setup.title}: {reader.name}: {what}, origin sent {found['sent']}", flush=True)
    return found


class Trial:
    """One reader, and the edge, origin and bucket for it."""

    def __init__(self, reader: Reader, setup: Setup, directory: Path) -> None:
        self._reader, self._setup, self._directory = reader, setup, directory
        self._key = f"cold/{reader.content or 'object.bin'}"
        self._film = films()

    def run(self) -> dict[str, Any]:
        setup, directory = self._setup, self._directory
        rules = [{"prefix": "/", "response": setup.response}]
        options = {
            "workers": setup.workers,
            "wiring": setup.wiring,
            "plugin": {"bucket": {"exposed": "path"}, "rules": rules},
        }
        with LargeOrigin(RATE) as origin, StrictBucket() as store:
            large = self._publish(origin)
            with Stack(directory, origin=origin.url, store=store, **options) as stack:
                ask = Ask("download", stack.url, store.bucket, self._key, directory / "output")
                begun = time.monotonic()
                wrong = self._reads(ask, large)
                seconds = round(time.monotonic() - begun)
                hits = [each for each in store.calls("GetObject", self._key) if each.status in (200, 206)]
                if self._reader.is_film and setup.response == "serve":
                    wrong = wrong or at_once(ask.output)
                if self._reader.is_late and not hits:
                    wrong = wrong or "the fill did not end before it"
                wrong = wrong or self._is_stored(store, large)
            wrong = wrong or self._refused(stack)
            sent = round(origin.sent[f"/{self._key}"] / large.size, 2)
        found = {"wrong": wrong, "seconds": seconds, "sent": sent}
        if ask.output.exists() and ask.output.stat().st_size < 1000:
            found["said"] = ask.output.read_text()
        shutil.rmtree(directory)
        return found

    def _publish(self, origin: LargeOrigin) -> Large:
        small = {"film.html": "text/html", "film.m3u8": "application/vnd.apple.mpegurl"}
        for name, kind in small.items():
            file = self._film / name
            origin.put(f"/cold/{name}", Large(file.stat().st_size, file=file, content_type=kind))
        file = self._film / self._reader.content if self._reader.content else None
        return origin.put(f"/{self._key}", Large(file.stat().st_size if file else SIZE, file=file))

    def _reads(self, ask: Ask, large: Large) -> str:
        try:
            done = subprocess.run(
                self._reader.command(ask),
                cwd=self._directory,
                env=environment(self._directory),
                capture_output=True,
                text=True,
                errors="replace",
                timeout=PATIENCE,
            )
        except subprocess.TimeoutExpired:
            return f"no end after {PATIENCE} s"
        if done.returncode:
            last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:] or [""]
            return f"exit code {done.returncode}: {last[0]}"
        return self._reader.judge(ask.output, large)

    def _is_stored(self, store: StrictBucket, large: Large) -> str:
        end = time.monotonic() + PATIENCE
        while (found := store.get(self._key))[0] != 200:
            if time.monotonic() > end:
                return "it is not stored"
            time.sleep(0.2)
        return "" if len(found[2]) == large.size else "something else is stored"

    def _refused(self, stack: Stack) -> str:
        lines = [json.loads(line) for line in stack.edge.access_log_path.read_text().splitlines()]
        statuses = [line["status"] for line in lines if self._key in (line["path"] or "")]
        refused = sorted({status for status in statuses if status in (412, 429) or status >= 500})
        return f"answers with {refused}" if refused else ""


def rows(everyone: Sequence[Reader], results: Mapping[str, Mapping[str, Any]]) -> Sequence[str]:
    lines = [
        f"| client | connections | {' | '.join(setup.title for setup in SETUPS)} |",
        f"| --- | --- |{' --- |' * len(SETUPS)}",
    ]
    for reader in everyone:
        cells = [cell(results.get(reader.name, {}).get(setup.title)) for setup in SETUPS]
        lines.append(f"| {reader.name} | {reader.connections} | {' | '.join(cells)} |")
    return lines


def cell(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return ""
    return f"{'**wrong**' if found['wrong'] else 'right'}, {found['sent']:.2f}"


if __name__ == "__main__":
    sys.exit(main())
