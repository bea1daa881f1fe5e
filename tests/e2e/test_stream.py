"""Clients that are passed to the origin while the bucket is filled, through Envoy in both wirings."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest

from doubles import ScriptedOrigin, StrictBucket
from doubles.large_origin import Large, LargeOrigin, Trouble
from stack import Stack
from stack.render import Wiring

from .client import Answer, Connection, Headers, target_of
from .conftest import Start, Unique
from .site import Site, error_code, eventually

MIB = 1 << 20
PART_SIZE = 6 * MIB
FILM = 20 * MIB
MARKER = "mirror-on-miss=stream"

PLUGIN = {
    "rules": [
        {"prefix": "/waiting/"},
        {"prefix": "/busy/", "on_wait": "busy"},
        {"prefix": "/unstored/", "store": False},
        {"prefix": "/", "response": "serve"},
    ],
    "limits": {"streams_per_key": 2, "max_object_size": "1GiB"},
    "wait": "3s",
}


class StreamSite:
    """A site in one of the wirings, whose clients follow redirects."""

    def __init__(self, site: Site, wiring: Wiring, origin: LargeOrigin) -> None:
        self.site, self.wiring, self.origin = site, wiring, origin
        self.store: StrictBucket = site.store
        self.prefix = "" if wiring == "redirect" else f"/{site.store.bucket}"

    def ask(self, target: str, method: str = "GET", headers: Headers = ()) -> Answer:
        return self.site.ask(self.prefix + target, method, headers)

    def get(self, target: str, headers: Headers = (), method: str = "GET") -> Answer:
        answer = self.ask(target, method, headers)
        for _ in range(3):
            if answer.status != 302:
                break
            answer = self.site.follow(answer, method, headers)
        return answer

    def marked(self, path: str, headers: Headers = ()) -> Answer:
        return self.ask(f"{path}?{MARKER}", headers=headers)

    def begin(self, path: str, size: int = FILM) -> tuple[Large, str]:
        """Has a first client of a large object come, whose fill then waits. Returns its tag, too.

        The fill awaits a stream of that client for a second, and asks the origin then.
        """
        film = self.origin.put(path, Large(size))
        self.origin.hold(path, at=PART_SIZE)
        head = self.get(path, method="HEAD")
        assert (head.status, head.outcome) == (200, "streamed"), head
        assert head.header("content-length") == str(size)
        eventually(lambda: PART_SIZE in [asked.start for asked in self.origin.ranges(path) if asked], True)
        return film, head.header("etag") or ""

    def finish(self, path: str) -> None:
        """Lets the fill go on to its end."""
        self.origin._gates[path, PART_SIZE].open()
        eventually(lambda: self.site.stored(path) is not None, True)


@pytest.fixture(scope="module")
def large() -> Iterator[LargeOrigin]:
    with LargeOrigin() as origin:
        yield origin


@pytest.fixture(scope="module", params=["redirect", "transparent"])
def films(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, large: LargeOrigin
) -> Iterator[StreamSite]:
    """One worker, so that a second request finds the fill that is under way."""
    run_dir = tmp_path_factory.mktemp(f"stream-{request.param}")
    options = {"origin": large.url, "workers": 1, "wiring": request.param, "plugin": PLUGIN}
    with StrictBucket() as store, Stack(run_dir, store=store, **options) as stack:
        site = Site(stack, store, large)
        yield StreamSite(site, request.param, large)
        site.assert_module_healthy()


def test_a_large_object_is_read_while_it_is_stored(films: StreamSite, unique: Unique) -> None:
    path = unique("film.mp4")
    film, tag = films.begin(path)
    answer = films.get(path)
    assert (answer.status, answer.outcome) == (200, "streamed")
    assert hashlib.sha256(answer.body).hexdigest() == film.sha256()
    assert (answer.header("etag"), answer.header("accept-ranges")) == (tag, "bytes")
    assert films.site.stored(path) is None, "the fill waits at the gate"
    films.finish(path)
    again = films.get(path)
    assert (again.status, again.outcome, again.body) == (200, None, answer.body)


def test_any_range_is_read_at_once(films: StreamSite, unique: Unique) -> None:
    path = unique("film.mp4")
    film, tag = films.begin(path)
    last = film.size - 1
    for asked, span in [
        ("bytes=0-99", range(100)),
        (f"bytes={PART_SIZE - 1}-{PART_SIZE}", range(PART_SIZE - 1, PART_SIZE + 1)),
        ("bytes=-5", range(film.size - 5, film.size)),
        (f"bytes={last}-", range(last, film.size)),
    ]:
        answer = films.get(path, [("range", asked)])
        content_range = f"bytes {span.start}-{span.stop - 1}/{film.size}"
        assert (answer.status, answer.header("content-range")) == (206, content_range)
        assert (answer.body, answer.header("etag")) == (film.content(span), tag)
    beyond = films.get(path, [("range", f"bytes={film.size}-")])
    assert (beyond.status, beyond.header("content-range")) == (416, f"bytes */{film.size}")
    assert error_code(beyond) == "InvalidRange"
    films.finish(path)


def test_one_tag_holds_from_the_first_range_to_the_last(films: StreamSite, unique: Unique) -> None:
    path = unique("film.mp4")
    film, tag = films.begin(path)
    spans = [range(start, start + 1000) for start in range(0, film.size, 2_000_000)]
    for number, span in enumerate(spans):
        if number == len(spans) // 2:
            films.finish(path)
        asked = ("range", f"bytes={span.start}-{span.stop - 1}")
        for condition in ("if-match", "if-range"):
            answer = films.get(path, [asked, (condition, tag)])
            assert (answer.status, answer.body) == (206, film.content(span)), (number, condition, answer)
            assert answer.outcome == ("streamed" if number < len(spans) // 2 else None)
    # As the AWS SDK for Java v1 writes it.
    for target in (path, f"{path}?partNumber=1"):
        assert films.get(target, [("if-match", tag.strip('"'))]).status in (200, 206)
    assert films.get(path, [("if-none-match", tag)]).status == 200
    seen = [call.request for call in films.store.requests.matching(lambda call: call.key == path[1:])]
    assert not [
        request
        for request in seen
        if any(name.startswith("if-") and "mirror-" in value for name, value in request.headers)
    ]


def test_a_tag_of_another_version_is_never_joined(films: StreamSite, unique: Unique) -> None:
    path, other = unique("film.mp4"), '"mirror-0123456789abcdef"'
    film, _ = films.begin(path)
    answer = films.get(path, [("range", "bytes=5-9"), ("if-match", other)])
    assert (answer.status, error_code(answer)) == (412, "PreconditionFailed")
    whole = films.get(path, [("range", "bytes=5-9"), ("if-range", other)])
    assert (whole.status, len(whole.body)) == (200, film.size)
    films.finish(path)


def test_a_client_that_has_the_object_is_told_so(films: StreamSite, unique: Unique) -> None:
    path, other = unique("film.mp4"), '"mirror-0123456789abcdef"'
    _, tag = films.begin(path)
    for method in ("GET", "HEAD"):
        for condition, value, status in [
            ("if-none-match", tag, 304),
            ("if-none-match", f'"x", W/{tag}', 304),
            ("if-none-match", other, 200),
            ("if-match", tag, 200),
            ("if-match", other, 412),
        ]:
            answer = films.get(path, [(condition, value)], method)
            seen = (method, condition, value)
            assert (answer.status, answer.outcome) == (status, "streamed"), seen
            assert (answer.header("etag"), answer.body[:1]) == (tag, b"") or status != 304, seen
    films.finish(path)


def test_the_origin_gets_nothing_of_the_client_and_no_marker(films: StreamSite, unique: Unique) -> None:
    path = unique("film.mp4")
    films.begin(path)
    own = [
        ("cookie", "session=1"),
        ("authorization", "Bearer secret"),
        ("if-none-match", '"x"'),
        ("if-modified-since", "Sun, 06 Nov 1994 08:49:37 GMT"),
        ("x-forwarded-for", "192.0.2.1"),
        ("x-mirror-on-miss-cluster", "signer"),
        ("accept-encoding", "gzip"),
        ("user-agent", "somebody"),
    ]
    assert films.get(f"{path}?v=1&x=%26", own).outcome == "streamed"
    (asked,) = [request for request in films.origin.asked(path) if request.header("range") is None]
    names = {name for name, _ in asked.headers}
    assert names == {"host", "accept-encoding", "user-agent", "x-request-id"}
    assert (asked.header("accept-encoding"), asked.header("user-agent")) == (
        "identity",
        "mirror-on-miss/0.1.0",
    )
    targets = [request.target for request in films.origin.requests.matching(lambda request: True)]
    targets += [call.request.target for call in films.store.requests.matching(lambda call: True)]
    assert not [target for target in targets if MARKER in str(target)]
    films.finish(path)


def test_a_marker_without_a_permit_is_as_none(films: StreamSite, unique: Unique) -> None:
    stored, missing, small = unique("stored"), unique("missing"), unique("small")
    films.store.put(stored[1:], b"an object of the bucket")
    answer = films.marked(stored)
    assert (answer.status, answer.body, answer.outcome) == (200, b"an object of the bucket", None)
    assert films.origin.asked(stored) == []
    assert (films.marked(missing).status, len(films.origin.asked(missing))) == (404, 1)
    films.origin.put(small, Large(1000))
    assert films.marked(small).status in (200, 302)


def test_a_marked_client_is_never_sent_to_the_marker_again(films: StreamSite, unique: Unique) -> None:
    path = unique("film.mp4")
    films.origin.put(path, Large(FILM))
    gate = films.origin.hold(path, at=PART_SIZE)
    first = films.origin.hold(path)
    with Connection(films.site.stack.url) as client:
        client.send("GET", f"{films.prefix}{path}?{MARKER}")
        films.origin.wait_for(path)
        first.open()
        answer = client.receive("GET")
    assert (answer.status, answer.outcome) == (503, "filling"), "it waits as ever"
    gate.open()
    eventually(lambda: films.site.stored(path) is not None, True)


def test_a_header_of_a_client_chooses_no_cluster(films: StreamSite, unique: Unique) -> None:
    path = unique("missing")
    answer = films.ask(path, headers=[("x-mirror-on-miss-cluster", "signer")])
    assert (answer.status, answer.outcome) == (404, "not_found")


def test_more_streams_than_the_limit_wait(films: StreamSite, unique: Unique) -> None:
    path = unique("film.mp4")
    films.begin(path, 64 * MIB)
    with Connection(films.site.stack.url) as one, Connection(films.site.stack.url) as two:
        for client in (one, two):
            client.send("GET", f"{films.prefix}{path}?{MARKER}")
        films.origin.wait_for(path, len(films.origin.ranges(path)))
        eventually(lambda: films.origin.ranges(path).count(None), 2)
        third = films.get(path)
        assert (third.status, third.outcome) == (503, "filling")
    eventually(lambda: films.marked(path, [("range", "bytes=0-0")]).status, 206)
    films.finish(path)


def test_a_client_whose_time_is_over_is_passed_to_the_origin(films: StreamSite, unique: Unique) -> None:
    for under, expected in [("/waiting", (200, "streamed")), ("/busy", (503, "filling"))]:
        path = unique("film.mp4", under=under)
        film = films.origin.put(path, Large(FILM))
        gate = films.origin.hold(path, at=PART_SIZE)
        answer = films.get(path)
        assert (answer.status, answer.outcome) == expected
        assert answer.status != 200 or hashlib.sha256(answer.body).hexdigest() == film.sha256()
        gate.open()
        eventually(lambda path=path: films.site.stored(path) is not None, True)


def test_what_is_too_large_to_be_stored_is_passed(films: StreamSite, unique: Unique) -> None:
    path = unique("image.iso")
    film = films.origin.put(path, Large((1 << 30) + 1))
    answer = films.get(path, [("range", "bytes=7-9")])
    assert (answer.status, answer.body, answer.outcome) == (206, film.content(range(7, 10)), "streamed")
    assert films.site.stored(path) is None


def test_what_a_rule_does_not_store_is_the_origins_at_each_request(films: StreamSite, unique: Unique) -> None:
    for size, outcome in [(1000, "served"), (100_000, "served"), (FILM, "streamed")]:
        path = unique("index", under="/unstored")
        for version in (1, 2):
            index = films.origin.put(path, Large(size, version, etag=f'"{version}"'))
            answer = films.get(path)
            assert (answer.status, answer.outcome) == (200, outcome)
            assert hashlib.sha256(answer.body).hexdigest() == index.sha256()
        head = films.get(path, method="HEAD")
        assert (head.status, head.header("content-length"), head.outcome) == (200, str(size), "head")
        assert films.site.stored(path) is None
    methods = {
        call.request.method for call in films.store.requests.matching(lambda call: call.key == path[1:])
    }
    assert methods <= {"GET", "HEAD"}


def test_another_version_of_the_origin_is_not_passed_on(films: StreamSite, unique: Unique) -> None:
    path = unique("film.mp4")
    films.begin(path)
    films.origin.put(path, Large(FILM, version=2, etag='"2"'))
    answer = films.marked(path)
    assert (answer.status, answer.outcome) == (502, "origin_unavailable")
    assert films.marked(path).outcome != "streamed", "nor is anybody sent there again"
    films.origin._gates[path, PART_SIZE].open()


def test_a_failure_that_says_nothing_about_the_object_is_its_own_clients(
    films: StreamSite, unique: Unique
) -> None:
    path = unique("film.mp4")
    film, _ = films.begin(path)
    films.origin.fault(path, Trouble.UNAVAILABLE, times=1)
    answer = films.marked(path)
    assert (answer.status, answer.outcome, answer.header("retry-after")) == (502, "origin_unavailable", "5")
    answer = films.marked(path)
    assert (answer.status, answer.outcome, len(answer.body)) == (200, "streamed", film.size)
    films.finish(path)


def test_a_transfer_that_the_origin_breaks_off_is_broken_off(films: StreamSite, unique: Unique) -> None:
    path = unique("film.mp4")
    films.begin(path)
    films.origin.fault(path, Trouble.RESET, times=1)
    with pytest.raises(Exception, match=r"IncompleteRead|reset"):
        films.marked(path)
    log = films.site.stack.edge.log_path
    line = f"stream key={path}: the origin broke the transfer off"
    eventually(lambda: line in log.read_text(), True)
    films.finish(path)


def test_a_small_object_is_served_with_a_second_request(films: StreamSite, unique: Unique) -> None:
    path = unique("photo.jpg")
    photo = films.origin.put(path, Large(100_000))
    answer = films.get(path)
    assert (answer.status, answer.outcome, answer.body) == (200, "served", photo.content(range(100_000)))
    assert films.origin.ranges(path) == [range(65_537), range(65_537, 100_000)]
    eventually(lambda: films.site.stored(path), answer.body)


def test_nothing_of_the_origin_reaches_the_client_but_what_is_on_the_list(
    start: Start, unique: Unique
) -> None:
    site, path = start(plugin={"rules": [{"response": "serve"}], "wait": "1s"}), unique("film.mp4")
    origin: ScriptedOrigin = site.origin
    body = bytes(7 * MIB)
    secret = {"Set-Cookie": "a=b", "X-Powered-By": "x", "Content-Language": "mi", "ETag": '"1"'}
    origin.put(path, body, secret)
    site.store.fault("CreateMultipartUpload", path[1:], status=403, code="AccessDenied")
    answer = site.follow(site.ask(path))
    assert (answer.status, answer.body, answer.outcome) == (200, body, "streamed")
    own = {"content-language", "content-length", "content-type", "etag", "last-modified", "accept-ranges"}
    by_envoy = {"date", "server", "access-control-allow-origin", "access-control-expose-headers"}
    assert answer.names - by_envoy == own | {"x-mirror-on-miss"}


def test_after_an_ambiguous_403_nobody_is_passed(start: Start, unique: Unique) -> None:
    site, path = start(plugin={"rules": [{"response": "serve"}], "wait": "2s"}), unique("film.mp4")
    site.origin.put(path, bytes(7 * MIB), {"ETag": '"1"'})
    site.store.forbid(path[1:], site.store.reader, site.store.writer)
    for _ in range(2):
        answer = site.ask(path)
        assert (answer.status, answer.outcome) in [(302, "stored"), (403, "loop")]
        assert MARKER not in (answer.header("location") or "")
        assert site.ask(f"{path}?{MARKER}").status in (302, 403)


def test_without_a_marker_in_the_configuration_all_is_as_ever(start: Start, unique: Unique) -> None:
    site, path = (
        start(plugin={"rules": [{"response": "serve"}], "wait": "1s", "stream": None}),
        unique("a.bin"),
    )
    body = bytes(7 * MIB)
    site.origin.put(path, body, {"ETag": '"1"'})
    answer = site.ask(f"{path}?{MARKER}")
    assert (answer.status, answer.outcome) == (302, "stored")
    assert target_of(answer.header("location") or "") == f"{path}?{MARKER}"
    assert site.follow(answer).body == body
