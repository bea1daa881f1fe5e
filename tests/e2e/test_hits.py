"""The module's callbacks of a hit: the request, and nothing of the answer."""

from __future__ import annotations

import re

from .client import ask
from .conftest import Start, Unique
from .site import Site, eventually

DENIALS = {400, 403, 404}
"""The statuses of `Denial` in src/request/denial.rs."""

WITHOUT_BODY = (204, 304)
BODY = bytes(range(256)) * 256
"""Several of the pieces that Envoy reads at once."""


def test_an_answer_that_is_no_denial_never_comes_to_the_module(start: Start, unique: Unique) -> None:
    """Otherwise each hit would cost a call of the module for its headers, and one for every piece of its
    body.
    """
    site, statuses = start(), range(200, 600)
    log_callbacks(site)
    for status in statuses:
        path, body = unique(str(status)), b"" if status in WITHOUT_BODY else BODY
        head = f"HTTP/1.1 {status} Said\r\nconnection: close\r\ncontent-length: {len(body)}\r\n\r\n"
        site.store.raw("GetObject", path[1:], head.encode() + body)
        answer = site.ask(path)
        if status == 400:
            # Its document is larger than one that is held, and says nothing of the key.
            assert (answer.status, answer.outcome) == (400, "bad_request")
        elif status in DENIALS:
            assert (answer.status, answer.outcome) == (404, "not_found")
        else:
            assert (answer.status, answer.outcome, answer.body) == (status, None, body)
    eventually(lambda: sum("delete" in calls for calls in callbacks(site)), len(statuses))
    heard = dict(zip(statuses, callbacks(site), strict=True))
    assert {status for status, calls in heard.items() if "response_headers" in calls} == DENIALS
    assert {tuple(calls) for status, calls in heard.items() if status not in DENIALS} == {
        ("context_create", "request_headers", "delete")
    }


def log_callbacks(site: Site) -> None:
    """Makes Envoy log each call of the module (`WasmVm::cmpLogLevel` in proxy-wasm-cpp-host)."""
    assert ask(site.stack.edge.admin, "/logging?wasm=trace", "POST").status == 200


def callbacks(site: Site) -> list[list[str]]:
    """Lists the module's callbacks, stream by stream, in the order of their requests."""
    log = site.log()
    streams: dict[str, list[str]] = {}
    # The root, which was created before, has context 1; an allocation has none.
    for name, context in re.findall(r"\[host->vm\] proxy_on_(?!memory_allocate)(\w+)\((\d+)", log):
        if context != "1":
            streams.setdefault(context, []).append(name)
    return list(streams.values())
