"""The load and the upstreams, which are compiled: in Python they would be slower than the edge that they
measure.
"""

from __future__ import annotations

import json
import resource
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Literal

from stack import Child, Credentials, S3Store, StackError
from stack.render import CHECKOUT

BUILT = CHECKOUT / "target" / "bench"
EMPTY_FILTER = BUILT / "empty_filter.wasm"
COPY_FILTER = BUILT / "copy_filter.wasm"

LOAD_TIMEOUT = 600
"""Seconds. A load has its own bound; this one is for a load that hangs."""

CONTROL_TIMEOUT = 80
"""Seconds. The upstream may have thousands of other connections to serve."""

NOBODY = Credentials("nobody", "secret")
"""The upstream's bucket believes every signature."""


@dataclass(frozen=True)
class Call:
    """A request. `{n}` in its path and its headers is a number that was never used before, `{size}` the size
    that goes with it.
    """

    url: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: int | Literal["{size}"] | None = None
    """Bytes."""

    def __str__(self) -> str:
        """Writes it as load.rs reads it."""
        words = [self.method, self.url, *([] if self.body is None else [str(self.body)])]
        return "\n".join([" ".join(words), *(f"{name}: {value}" for name, value in self.headers.items())])


@dataclass(frozen=True)
class Load:
    """The result of a load."""

    seconds: float
    bytes: int
    statuses: dict[str, int]
    """The number of each status; those of several calls of one number in a row, as in "404 200"."""
    ms: Sequence[Sequence[float]]
    """The times of each call, number by number."""
    cpu_seconds: float
    """The processor time of the load itself."""
    first_ms: Sequence[Sequence[float]] = ()
    """The times of each call until the first byte of the object, number by number."""

    @property
    def requests(self) -> int:
        """Returns the count of numbers whose calls were all answered."""
        return len(self.ms[0])

    @property
    def per_second(self) -> float:
        return self.requests / self.seconds

    @property
    def p50(self) -> float:
        """Returns the milliseconds until all calls of a number were answered."""
        return self.percentile(50)

    @property
    def megabytes_per_second(self) -> float:
        return self.bytes / self.seconds / 1e6

    def percentile(self, percent: int, calls: slice = slice(None)) -> float:
        """Returns a percentile of the milliseconds that these calls of a number took together."""
        times = sorted(sum(each) for each in zip(*self.ms[calls], strict=True))
        return times[min(len(times) * percent // 100, len(times) - 1)]

    def expect(self, *statuses: int) -> Load:
        """Checks the answers: others would make the numbers those of something else."""
        expected = " ".join(map(str, statuses))
        if set(self.statuses) != {expected}:
            raise StackError(f"a load got {self.statuses} instead of {expected} alone")
        return self


@dataclass
class Loader:
    """The loads of one bench. No two ask for the same new object."""

    asked: int = 0
    binary: Path = BUILT / "release" / "load"

    def run(
        self,
        *calls: Call,
        connections: int = 1,
        requests: int | None = None,
        seconds: float | None = None,
        follow: bool = False,
        sizes: Path | None = None,
    ) -> Load:
        """Makes so many numbers, or runs so long. The calls of each number are made one after the other."""
        options = {
            "connections": connections,
            "requests": requests,
            "seconds": seconds,
            "first": self.asked,
            "sizes": sizes,
        }
        argv = [str(_built(self.binary))]
        for call in calls:
            argv += ["--call", str(call)]
        for name, value in options.items():
            argv += [] if value is None else [f"--{name}", str(value)]
        argv += ["--follow"] if follow else []
        before = _cpu_seconds_of_ended_children()
        said = subprocess.run(argv, check=True, stdout=subprocess.PIPE, timeout=LOAD_TIMEOUT).stdout
        load = Load(**json.loads(said), cpu_seconds=_cpu_seconds_of_ended_children() - before)
        # Each connection takes one number more than it uses.
        self.asked += sum(load.statuses.values()) + connections
        return load


class Upstream:
    """A bucket and an origin in one process. upstream.rs describes their objects and their options."""

    def __init__(self, run_dir: Path, *, address: str = "127.0.0.1", **options: int) -> None:
        self._run_dir = run_dir
        self._address = address
        self._options = {"address": address, **options}
        self._said = run_dir / "upstream.json"

    def __enter__(self) -> Upstream:
        argv: list[str | Path] = [_built(BUILT / "release" / "upstream")]
        for name, value in self._options.items():
            argv += [f"--{name.replace('_', '-')}", str(value)]
        log = self._run_dir / "upstream.log"
        self.child = Child("the upstream", argv, cwd=self._run_dir, stderr=log, stdout=self._said)
        self.child.wait_until(lambda: self._said.read_bytes().endswith(b"\n"), timeout=10)
        ports = json.loads(self._said.read_text())
        self.origin = f"http://{self._address}:{ports['origin']}"
        bucket = f"http://{self._address}:{ports['bucket']}"
        self.store = S3Store(bucket, "us-east-1", "mirror", NOBODY, NOBODY)
        self._control = f"{self._address}:{ports['control']}"
        return self

    def __exit__(self, *_: object) -> None:
        self.child.stop(grace=0)

    def counts(self) -> dict[str, int]:
        return self._ask("/counts")

    def open_gate(self) -> None:
        """Lets the origin answer for the objects below /gated/."""
        self._ask("/open")

    def reset(self) -> None:
        """Empties the bucket, closes the gate, and counts from zero."""
        self._ask("/reset")

    def _ask(self, path: str) -> dict[str, Any]:
        with closing(HTTPConnection(self._control, timeout=CONTROL_TIMEOUT)) as control:
            control.request("GET", path)
            return json.loads(control.getresponse().read())


def _built(path: Path) -> Path:
    if not path.exists():
        raise StackError(f"no {path}: `make bench` builds it")
    return path


def _cpu_seconds_of_ended_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
