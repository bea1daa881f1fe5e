"""The trial of one client, one operation and one cold key: the client must get the right result."""

from __future__ import annotations

import os
import random
import re
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from doubles import ScriptedOrigin, StrictBucket
from e2e.site import Site
from stack import Stack
from stack.render import Wiring

from .catalogue import ACCESS_KEY, INSTALLED, RANGE, SECRET_KEY, Ask, Client, Operation

SIZES: Mapping[Operation, int] = {"get": 65_537, "range": 65_537, "head": 65_537, "download": 20 << 20}
PATIENCE = 120
"""The seconds for one call. The slowest client needs five, most of them to start."""


@dataclass(frozen=True)
class Setup:
    """One way to run the edge."""

    name: str
    wiring: Wiring
    plugin: Mapping[str, Any]


PATH_STYLE = {"bucket": {"exposed": "path", "index": "index.html"}}

SETUPS: Sequence[Setup] = (
    Setup("transparent", "transparent", PATH_STYLE),
    Setup("serve", "transparent", {**PATH_STYLE, "rules": [{"response": "serve"}]}),
    Setup("redirect", "redirect", PATH_STYLE),
    Setup("distinct", "redirect", {**PATH_STYLE, "location": "distinct"}),
)


@dataclass(frozen=True)
class Result:
    client: str
    operation: Operation
    right: bool
    redirects: int
    """The answers with a status of 3xx that it got."""
    said: str
    """The end of the client's error output."""


class Endpoint:
    """A stack on an empty strict bucket, with an origin that has every object."""

    def __init__(self, setup: Setup, directory: Path) -> None:
        self._setup = setup
        self._directory = directory
        self._running = ExitStack()

    def __enter__(self) -> Endpoint:
        origin = self._running.enter_context(ScriptedOrigin())
        store = self._running.enter_context(StrictBucket())
        stack = Stack(
            self._directory / self._setup.name,
            wiring=self._setup.wiring,
            origin=origin.url,
            store=store,
            workers=1,
            plugin=self._setup.plugin,
        )
        self.site = Site(self._running.enter_context(stack), store, origin)
        return self

    @property
    def setup(self) -> str:
        return self._setup.name

    @property
    def base(self) -> str:
        """The URL of the bucket."""
        return f"{self.site.stack.url}/{self.site.store.bucket}"

    @property
    def host(self) -> str:
        return urlsplit(self.site.stack.url).netloc

    def __exit__(self, *_: object) -> None:
        self._running.close()

    def tries(self, client: Client, operation: Operation) -> Result:
        name = f"{re.sub('[^a-z0-9]+', '-', client.name.lower())}-{operation}"
        key = f"cold/{name}.bin"
        body = random.Random(key).randbytes(SIZES[operation])
        self.site.origin.put(f"/{key}", body, {"Content-Type": "application/x-cold"})
        ask = Ask(operation, self.site.stack.url, self.site.store.bucket, key, self._output(name))
        before = self._redirects()
        right, said = self._calls(client, ask, body)
        return Result(client.name, operation, right, self._redirects() - before, said)

    def _calls(self, client: Client, ask: Ask, body: bytes) -> tuple[bool, str]:
        try:
            done = run(client.command(ask), ask.output.parent)
        except (OSError, subprocess.TimeoutExpired) as error:
            return False, str(error)
        got = ask.output.read_bytes() if ask.output.exists() else b""
        if done.returncode != 0 or not is_right(ask.operation, got, body):
            last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:] or [f"{len(got)} bytes"]
            return False, f"exit code {done.returncode}: {last[0]}"
        # Under `serve` the client has it before.
        end = time.monotonic() + PATIENCE
        while self.site.store.get(ask.key)[2] != body:
            if time.monotonic() > end:
                return False, "it is not in the bucket"
            time.sleep(0.05)
        return True, ""

    def _output(self, name: str) -> Path:
        directory = self._directory / f"{self._setup.name}-{name}"
        directory.mkdir()
        return directory / "output"

    def _redirects(self) -> int:
        return self.site.stats("^http.edge.downstream_rq_3xx")["http.edge.downstream_rq_3xx"]


def is_right(operation: Operation, got: bytes, body: bytes) -> bool:
    if operation == "head":
        # Some print more than the length; nothing else that they print has five digits.
        return re.findall(rb"\b\d{5}\b", got) == [str(len(body)).encode()]
    return got == (body[RANGE.start : RANGE.stop] if operation == "range" else body)


def version(command: Sequence[str | Path], home: Path) -> str | None:
    """Returns the version of a program; None if it is not installed."""
    try:
        done = run(command, home)
    except OSError:
        return None
    found = re.search(r"\d+\.\d+(\.\d+)*", done.stdout + done.stderr if done.returncode == 0 else "")
    return found[0] if found else None


def run(argv: Sequence[str | Path], home: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """Runs a command with nothing of the user's own: no profile, no proxy, no credential."""
    return subprocess.run(
        argv,
        cwd=home,
        env={**environment(home), **more},
        capture_output=True,
        text=True,
        errors="replace",
        timeout=PATIENCE,
    )


def environment(home: Path) -> dict[str, str]:
    return {
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "HOME": str(home),
        "NODE_MODULES": str(INSTALLED / "node_modules"),
        "PATH": os.environ["PATH"],
    }
