"""Clients of large objects, who are passed to the origin while the bucket is filled."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from urllib.parse import urlsplit

from doubles.large_origin import Large, LargeOrigin

from .envoys import Answer, Site
from .life import eventually

MARKER = "mirror-on-miss=stream"
CLUSTER = "x-mirror-on-miss-cluster"
PART = 6 << 20
FILM = 20 << 20
PLUGIN = {"rules": [{"response": "serve"}]}
TOLD_TO_ORIGIN = {"host", "accept-encoding", "range", "if-match", "user-agent", "x-request-id"}


def follow(site: Site, path: str, method: str = "GET", headers: dict[str, str] | None = None) -> Answer:
    """Asks as a client that follows redirects."""
    answer = site.ask(path, method, headers=headers)
    for _ in range(3):
        if answer.status != 302:
            break
        place = urlsplit(answer.headers["location"])
        answer = site.ask(f"{place.path}?{place.query}".rstrip("?"), method, headers=headers)
    return answer


def streams(
    running: Callable[..., AbstractContextManager[Site]], prefix: str = "", redirects: bool = False
) -> None:
    """A film is read at once, by ranges too, and by one tag from its beginning to its end."""
    with LargeOrigin() as origin, running(origin=origin, plugin=PLUGIN) as site:
        film = origin.put("/film.mp4", Large(FILM))
        gate = origin.hold("/film.mp4", at=PART)
        path = f"{prefix}/film.mp4"
        head = follow(site, path, "HEAD")
        assert (head.status, head.headers["x-mirror-on-miss"]) == (200, "streamed"), head
        tag = head.headers["etag"]
        pinned = {"range": "bytes=1000-1999", "if-match": tag}
        part = follow(site, path, headers=pinned)
        assert (part.status, part.body) == (206, film.content(range(1000, 2000))), part.headers
        assert part.headers["x-mirror-on-miss"] == "streamed"
        assert site.bucket.list() == [], "the fill waits at the gate"
        nobody_without_a_permit(site, origin, prefix)
        if redirects:
            assert site.ask(path).status == 302
        # What this client reads feeds the fill, which may then end before the gate is open.
        answer = follow(site, f"{path}?v=1", headers={"cookie": "of-a-client", CLUSTER: "signer"})
        assert (answer.status, answer.headers["x-mirror-on-miss"]) == (200, "streamed"), answer.headers
        assert hashlib.sha256(answer.body).hexdigest() == film.sha256()
        assert answer.headers["etag"] == tag
        assert not [name for name in answer.headers if name.startswith("x-envoy-")], answer.headers
        gate.open()
        eventually(lambda: site.bucket.list() == ["film.mp4"], "the film in the bucket")
        for condition in ("if-match", "if-range"):
            part = follow(site, path, headers={"range": "bytes=1000-1999", condition: tag})
            assert (part.status, part.body) == (206, film.content(range(1000, 2000))), part
            assert "x-mirror-on-miss" not in part.headers
        assert follow(site, path, headers={"if-none-match": tag}).status == 200
        nothing_is_told(site)


def nobody_without_a_permit(site: Site, origin: LargeOrigin, prefix: str) -> None:
    """Neither the marker nor the header that chooses a cluster leads a client anywhere."""
    asked = len(site.bucket.requests)
    for path, headers in ((f"?{MARKER}", {}), ("", {CLUSTER: "signer"}), (f"?{MARKER}", {CLUSTER: "origin"})):
        answer = site.ask(f"{prefix}/nowhere{path}", headers=headers)
        assert (answer.status, answer.headers["x-mirror-on-miss"]) == (404, "not_found"), answer
    assert len(site.bucket.requests) > asked


def nothing_is_told(site: Site) -> None:
    """The origin gets nothing of a client, and the bucket neither the marker nor the tag of a stream."""
    more = {name for each in site.origin.requests for name, _ in each.headers} - TOLD_TO_ORIGIN
    assert not more, f"told to the origin: {more}"
    seen = [each for each in site.origin.requests] + [call.request for call in site.bucket.requests]
    wrong = [
        each.target
        for each in seen
        if MARKER in str(each.target) or any('"mirror-' in value for _, value in each.headers)
    ]
    assert not wrong, wrong
