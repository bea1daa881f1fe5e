"""The load and the upstreams, which are compiled: in Python they would be slower than what they measure."""

from __future__ import annotations

import json
import subprocess
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from stack import Child, Credentials, S3Store, StackError
from stack.render import CHECKOUT

BUILT = CHECKOUT / "target" / "bench"
EMPTY_FILTER = BUILT / "empty_filter.wasm"

LOAD_TIMEOUT = 600
"""Seconds. A load is bounded by itself; this is for one that hangs."""

CONTROL_TIMEOUT = 80
"""Seconds. The upstream may have thousands of other connections to look after."""

NOBODY = Credentials("nobody", "secret")
"""The upstream's bucket believes every signature."""


@dataclass(frozen=True)
class Load:
    """What came of a load."""

    requests: int
    seconds: float
    bytes: int
    statuses: dict[str, int]
    p50: float
    p99: float
    slowest: float
    """Milliseconds."""

    @property
    def per_second(self) -> float:
        return self.requests / self.seconds

    def expect(self, status: int) -> Load:
        """What was answered otherwise makes the numbers those of something else."""
        if set(self.statuses) != {str(status)}:
            raise StackError(f"a load got {self.statuses} instead of {status} alone")
        return self


@dataclass
class Loader:
    """Loads of one bench. No two ask for the same new object."""

    asked: int = 0

    def run(
        self,
        url: str,
        path: str,
        *,
        connections: int = 1,
        requests: int | None = None,
        seconds: float | None = None,
        host: str | None = None,
        put: int | None = None,
        follow: bool = False,
    ) -> Load:
        """As many requests, or as long. `{n}` in the path is a number that was never used before."""
        options = {
            "address": urlsplit(url).netloc,
            "path": path,
            "connections": connections,
            "requests": requests,
            "seconds": seconds,
            "host": host,
            "put": put,
            "first": self.asked,
        }
        argv = [str(_binary("load"))]
        for name, value in options.items():
            argv += [] if value is None else [f"--{name}", str(value)]
        argv += ["--follow"] if follow else []
        said = subprocess.run(argv, check=True, stdout=subprocess.PIPE, timeout=LOAD_TIMEOUT).stdout
        answer = json.loads(said)
        ms = answer.pop("ms")
        # Each connection takes one number more than it uses.
        self.asked += answer["requests"] + answer["statuses"].get("failed", 0) + connections
        return Load(**answer, p50=ms["p50"], p99=ms["p99"], slowest=ms["max"])


class Upstream:
    """A bucket and an origin in one process. See upstream.rs for what they have and what slows them down."""

    def __init__(self, run_dir: Path, **options: int) -> None:
        self._run_dir = run_dir
        self._options = options
        self._said = run_dir / "upstream.json"

    def __enter__(self) -> Upstream:
        argv: list[str | Path] = [_binary("upstream")]
        for name, value in self._options.items():
            argv += [f"--{name.replace('_', '-')}", str(value)]
        log = self._run_dir / "upstream.log"
        self.child = Child("the upstream", argv, cwd=self._run_dir, stderr=log, stdout=self._said)
        self.child.wait_until(lambda: self._said.read_bytes().endswith(b"\n"), timeout=10)
        ports = json.loads(self._said.read_text())
        self.origin = f"http://127.0.0.1:{ports['origin']}"
        self.store = S3Store(f"http://127.0.0.1:{ports['bucket']}", "us-east-1", "mirror", NOBODY, NOBODY)
        self._control = f"127.0.0.1:{ports['control']}"
        return self

    def __exit__(self, *_: object) -> None:
        self.child.stop(grace=0)

    def counts(self) -> dict[str, int]:
        return self._ask("/counts")

    def open_gate(self) -> None:
        """Lets the origin answer for what is below /gated/."""
        self._ask("/open")

    def reset(self) -> None:
        """An empty bucket, a closed gate, and counts from zero."""
        self._ask("/reset")

    def _ask(self, path: str) -> dict[str, Any]:
        with closing(HTTPConnection(self._control, timeout=CONTROL_TIMEOUT)) as control:
            control.request("GET", path)
            return json.loads(control.getresponse().read())


def _binary(name: str) -> Path:
    path = BUILT / "release" / name
    if not path.exists():
        raise StackError(f"no {path}: `make bench` builds it")
    return path
