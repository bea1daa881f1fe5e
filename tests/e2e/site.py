"""A whole site: edge and signer, the store behind them and the origin beside them."""

from __future__ import annotations

import copy
import json
import re
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from doubles import ScriptedOrigin, StrictBucket
from stack import SeaweedFS, Stack, envoy
from stack.render import named

from .client import TIMEOUT, Answer, Connection, Headers, ask, target_of

PUBLIC_URL = "https://old.example.com/files"
"""The URL at which clients of the `/public/` rule reach the origin directly. No test requests it."""

DEAD_PORT = 1
"""tcpmux (RFC 1078), a port without servers for decades; a free port could be taken meanwhile."""

PATIENCE = 30.0
"""The seconds that anything may take on a busy machine."""

TOLD = 0.1
"""Seconds after which the module has written what its clients know into metrics and log. It has a timer of
10 ms for that, which nobody else sees.
"""

WAIT = "5s"
"""Short enough to see it elapse, long enough for fifty clients at once on a busy machine."""


@dataclass(frozen=True)
class Site:
    """A running site, with everything that a test talks to and looks into."""

    stack: Stack
    store: SeaweedFS | StrictBucket
    origin: ScriptedOrigin

    def ask(
        self, target: str | bytes, method: str = "GET", headers: Headers = (), body: bytes = b""
    ) -> Answer:
        return ask(self.stack.url, target, method, headers, body)

    def open(self, timeout: float = TIMEOUT) -> Connection:
        """Opens a connection to the edge, for a test that does something else while it waits."""
        return Connection(self.stack.url, timeout)

    def follow(self, redirect: Answer, method: str = "GET", headers: Headers = ()) -> Answer:
        """Requests the target of a 302, once."""
        assert redirect.status == 302, redirect
        return self.ask(target_of(redirect.header("location") or ""), method, headers)

    def stored(self, path: str) -> bytes | None:
        """Returns the bucket's object under a plain path, None if there is none."""
        status, _, body = self.store.get(path[1:])
        return body if status == 200 else None

    def log(self) -> str:
        """Returns the edge's log, with the module's lines about all that clients know."""
        self.wait_until_told()
        return self.stack.edge.log_path.read_text(errors="replace")

    def wait_until_told(self) -> None:
        time.sleep(TOLD)

    def assert_module_healthy(self) -> None:
        """Checks that no worker's VM has ever panicked, trapped or been replaced."""
        log = self.log()
        assert not re.search("panicked|Uncaught|VM failed|Function:", log), log[-4000:]
        failures = {
            name: value for name, value in self.stats("^wasm\\.").items() if re.search("fail|reload", name)
        }
        assert not any(failures.values()), failures

    def wait_until_held(self, path: str, count: int) -> None:
        """Waits until the strict bucket has denied `count` requests for a path and the worker holds them.

        The bucket answers in order. When the worker has passed on a hit that was asked for later, it has seen
        those denials too.
        """
        self.store.requests.wait(lambda call: call.key == path[1:], count)
        self.store.put("later", b"")
        assert self.ask("/later").status == 200

    def access_logged(self, path: str) -> dict[str, Any]:
        """Returns the access log's line about a path that was asked for once. Envoy writes in batches."""
        found: list[dict[str, Any]] = []

        def is_there() -> bool:
            lines = self.stack.edge.access_log_path.read_text().splitlines()
            found.extend(json.loads(line) for line in lines if path in line and line.endswith("}"))
            return bool(found)

        eventually(is_there, True)
        return found[0]

    def gauges(self) -> tuple[int, int]:
        """Returns the fills in flight, and the waiters."""
        stats = self.stats("^wasmcustom.mirror_on_miss_(fills_in_flight|waiters)$")
        prefix = "wasmcustom.mirror_on_miss_"
        return stats.get(f"{prefix}fills_in_flight", 0), stats.get(f"{prefix}waiters", 0)

    def stats(self, contains: str) -> dict[str, int]:
        """Returns the edge's counters and gauges, with the module's of all that clients know."""
        self.wait_until_told()
        text = ask(self.stack.edge.admin, f"/stats?filter={contains}").body.decode()
        lines = (line.rpartition(": ") for line in text.splitlines())
        return {name: int(value) for name, _, value in lines if value.isdigit()}


@dataclass(frozen=True)
class Wired:
    """A site in one of the wirings."""

    site: Site
    bucket: str
    """The bucket's name as clients of this wiring write it before a path."""

    @property
    def follows(self) -> bool:
        """Tells if the edge follows its redirects itself."""
        return bool(self.bucket)

    def ask(self, path: str, method: str = "GET", headers: Headers = ()) -> Answer:
        return self.site.ask(self.bucket + path, method, headers)

    def read(self, path: str, method: str = "GET", headers: Headers = ()) -> Answer:
        """Returns the answer that a client gets in the end; it follows one redirect."""
        answer = self.ask(path, method, headers)
        return self.site.follow(answer, method, headers) if answer.status == 302 else answer


def eventually(look: Callable[[], Any], expected: Any) -> None:
    """Waits for a value that only Envoy's statistics show."""
    end = time.monotonic() + PATIENCE
    while (seen := look()) != expected:
        assert time.monotonic() < end, f"{seen}, not {expected}, after {PATIENCE:g} s"
        time.sleep(0.05)


@contextmanager
def running(
    run_dir: Path, origin: ScriptedOrigin, store: SeaweedFS | StrictBucket, **options: Any
) -> Iterator[Site]:
    """Runs a site with a store of its own, with options of `Stack`. In the end its module must be healthy."""
    with store, Stack(run_dir, origin=origin.url, store=store, **options) as stack:
        site = Site(stack, store, origin)
        yield site
        site.assert_module_healthy()


def a_rule_for_everything(origin: ScriptedOrigin) -> dict[str, Any]:
    """Returns a configuration with a prefix for each setting of a rule, over the shipped configuration of the
    plugin.
    """
    working = {"cluster": "origin", "authority": origin.authority}
    origins = {
        "dead": {**working, "cluster": "dead"},
        "impatient": {**working, "timeout": "1s"},
        "prefixed": {**working, "path_prefix": "/old%20site/v1"},
        "public": {**working, "public_url": PUBLIC_URL},
        "working": working,
    }
    rules = [
        {"prefix": "/403-is-a-miss/", "origins": ["working"], "on_403": "miss"},
        {"prefix": "/403-is-no-miss/", "origins": ["working"], "on_403": "ignore"},
        {"prefix": "/backed-up/", "origins": ["dead", "working"]},
        {"prefix": "/dead/", "origins": ["dead"]},
        {"prefix": "/impatient/", "origins": ["impatient"]},
        {"prefix": "/prefixed/", "origins": ["prefixed"]},
        {"prefix": "/public/", "origins": ["public"], "too_large": "origin"},
        {"prefix": "/unmirrored/", "mirror": False},
        {"prefix": "/", "origins": ["working"], "too_large": "error"},
    ]
    # Tests mend an origin and ask again at once.
    return {"origin": None, "origins": origins, "rules": rules, "wait": WAIT, "failure_ttl": "0s"}


def error_code(answer: Answer) -> str | None:
    """Returns the `<Code>` of an S3 error document."""
    # An answer without an outcome may be the bucket's or Envoy's own.
    types = {"application/xml"} if answer.outcome else {"application/xml", xml_of_envoy()}
    assert answer.header("content-type") in types, answer
    return ElementTree.fromstring(answer.body).findtext("Code")


def xml_of_envoy() -> str:
    """Returns the type of Envoy's own answers in XML: https://github.com/envoyproxy/envoy/issues/43680"""
    return "application/xml" if envoy.version() >= (1, 38) else "text/plain"


def add_dead_cluster(edge: dict[str, Any]) -> None:
    """Adds a cluster that refuses every connection."""
    clusters = edge["static_resources"]["clusters"]
    dead = copy.deepcopy(named(clusters, "origin"))
    dead["name"] = dead["load_assignment"]["cluster_name"] = "dead"
    endpoint = dead["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]
    endpoint["address"]["socket_address"]["port_value"] = DEAD_PORT
    clusters.append(dead)
