"""A store behind the edge and the signer, in one wiring, and an origin that has whatever a check gives it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from doubles import ScriptedOrigin
from doubles.replies import Script
from doubles.wire import Request
from e2e.client import Answer, Connection, Headers, target_of
from stack import Stack
from stack.render import Wiring, merge
from stack.sigv4 import Credentials
from stack.store import S3Store

from .bucket import Bucket

WAIT = "85s"
"""The filter's `wait`, as long as Envoy's idle timeout allows: a slow server is no wrong one."""

PATIENCE = 100.0
"""The seconds of silence that a client bears."""

REDIRECTS = 2
"""The redirects in a row that a client follows."""


class Origin(ScriptedOrigin):
    """An origin that knows a path in every spelling."""

    def asked(self, path: str) -> list[Request]:
        return self.requests.matching(lambda request: unquote(request.path) == path)

    def _next_script(self, path: str) -> Script:
        return super()._next_script(unquote(path))


@dataclass(frozen=True)
class Target:
    """A store, and what else it has for a check."""

    store: S3Store
    owner: Credentials
    """May do everything with the bucket."""
    blind: Credentials | None = None
    """May read objects of the bucket, and not list it."""
    reading: Credentials | None = None
    """May read the bucket, and not write."""
    versioned: str | None = None
    """A bucket with versioning."""
    domain: str | None = None
    """The host whose subdomains are buckets."""
    condition: str = "if-none-match"
    """The header that forbids to overwrite."""

    @property
    def new(self) -> dict[str, str]:
        """Returns the condition of a write that must not overwrite."""
        return {self.condition: "*" if self.condition == "if-none-match" else "true"}

    def with_(self, **changes: Any) -> S3Store:
        """Returns the store with another bucket, or for other credentials."""
        return replace(self.store, **changes)

    def bucket(self, name: str | None = None) -> Bucket:
        return Bucket(self.with_(bucket=name) if name else self.store, self.owner)


@dataclass(frozen=True)
class Trial:
    wiring: Wiring
    origin: Origin
    target: Target
    bucket: Bucket
    """What the check looks into."""
    prefix: str
    """Of every key of the check."""
    plugin: Mapping[str, Any]
    """The settings that the store needs."""
    run_dir: Path
    url: str = ""
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    @contextmanager
    def running(
        self, store: S3Store | None = None, plugin: Mapping[str, Any] | None = None
    ) -> Iterator[Trial]:
        """Runs an edge and a signer for a store, the bucket's own if none is given."""
        store = store or self.bucket.store
        plugin = merge(merge({"wait": WAIT}, self.plugin), plugin or {})
        run_dir = self.run_dir / f"{self.wiring}-{next(self._numbers)}"
        with Stack(
            run_dir, origin=self.origin.url, store=store, wiring=self.wiring, workers=1, plugin=plugin
        ) as stack:
            yield replace(self, url=stack.url, bucket=self.target.bucket(store.bucket))

    def named(self, check: str) -> Trial:
        """Returns this trial with keys of a check's own."""
        return replace(self, prefix=f"{self.prefix}{check}/")

    def key(self, name: str) -> str:
        return self.prefix + name

    def offer(self, name: str, body: bytes, headers: Mapping[str, str] | None = None) -> str:
        """Has the origin serve an object. Returns its key."""
        self.origin.put(f"/{self.key(name)}", body, headers)
        return self.key(name)

    def offer_by(self, name: str, script: Script) -> str:
        self.origin.script(f"/{self.key(name)}", script)
        return self.key(name)

    def fetched(self, key: str) -> list[str | None]:
        """Returns the ranges for which the origin was asked."""
        return [request.header("range") for request in self.origin.asked(f"/{key}")]

    def asks(self, key: str, method: str = "GET", headers: Headers = (), query: str = "") -> Answer:
        """Sends one request. The key is encoded as clients of S3 encode it."""
        bucket = f"/{self.bucket.store.bucket}" if self.wiring == "transparent" else ""
        return self._sends(f"{bucket}/{quote(key, safe='/~')}{query}", method, headers)

    def reads(self, key: str, method: str = "GET", headers: Headers = (), query: str = "") -> Answer:
        """Returns what a client has in the end: it follows redirects."""
        answer = self.asks(key, method, headers, query)
        for _ in range(REDIRECTS):
            if answer.status != 302:
                break
            answer = self._sends(target_of(answer.header("location") or ""), method, headers)
        return answer

    def has(self, key: str, body: bytes, what: str = "") -> Answer:
        """Reads an object, which must be this one."""
        answer = self.reads(key)
        must(answer.status == 200, f"{what or 'a GET'} is {told(answer)}")
        must(answer.body == body, f"{what or 'a GET'} has other bytes: {len(answer.body)}, not {len(body)}")
        return answer

    def stores(self, key: str, body: bytes, what: str = "") -> Answer:
        """Reads an object, which is in the bucket afterwards, and comes from there."""
        answer = self.has(key, body, what)
        must(self.bucket.get(key) == body, f"{what or 'the object'} is not in the bucket: {told(answer)}")
        before = len(self.fetched(key))
        answer = self.has(key, body, what)
        again = len(self.fetched(key)) > before
        must(not again, f"{what or 'a stored object'} is fetched again: {told(answer)}")
        return answer

    def _sends(self, target: str, method: str, headers: Headers) -> Answer:
        with Connection(self.url, PATIENCE) as connection:
            connection.send(method, target, headers)
            return connection.receive(method)


Check = Callable[[Trial], "str | None"]
"""Raises AssertionError where the store does something else. A text says why it could not be tried."""


def must(true: bool, said: str) -> None:
    """Raises AssertionError with what the store did instead."""
    if not true:
        raise AssertionError(said)


def told(answer: Answer) -> str:
    """Returns an answer in few words."""
    return " ".join(filter(None, [str(answer.status), answer.outcome]))
