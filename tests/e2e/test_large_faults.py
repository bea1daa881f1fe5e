"""A fault at each step of a multipart fill through the real Envoy: clients are answered, nothing is left."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from doubles import StrictBucket
from doubles.large_origin import Large, LargeOrigin, Trouble
from stack import Stack

from .conftest import Unique
from .site import Site

MIB = 1 << 20
PART_SIZE = 5 * MIB
"""S3's smallest."""

SIZE = 12 * MIB
"""Three parts, the last one shorter."""

FOR_GOOD = 1_000_000
"""More often than any request."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """An origin that may be silent for a second only, so that a test notices it soon. It is asked again at
    once.
    """
    # Without streams, so that clients are told how the fill ends.
    plugin = {
        "origin": {"timeout": "1s"},
        "limits": {"part_size": "5MiB"},
        "failure_ttl": "0s",
        "stream": None,
    }
    run_dir = tmp_path_factory.mktemp("faults")
    with (
        LargeOrigin() as origin,
        StrictBucket() as store,
        Stack(run_dir, origin=origin.url, store=store, workers=1, plugin=plugin) as stack,
    ):
        site = Site(stack, store, origin)
        yield site
        site.assert_module_healthy()


@dataclass(frozen=True)
class Fill:
    """One fill, and the faults that a test can add to it."""

    site: Site
    path: str

    def part(self, number: int, trouble: Trouble, times: float = math.inf) -> None:
        """Adds a fault at the origin, for the range of a part."""
        self.site.origin.fault(self.path, trouble, at=(number - 1) * PART_SIZE, times=times)

    def store(self, operation: str, status: int, code: str, times: int = FOR_GOOD) -> None:
        """Adds a fault at the store, for the requests of one kind."""
        self.site.store.fault(operation, self.path[1:], times, status=status, code=code)

    def reset(self, operation: str, *, after: bool = False) -> None:
        """Resets a connection to the store, once; with `after`, the operation has been carried out by
        then.
        """
        self.site.store.reset(operation, self.path[1:], after=after)


Arrange = Callable[[Fill], None]

PASSING: dict[str, Arrange] = {
    "range 503": lambda fill: fill.part(2, Trouble.UNAVAILABLE, times=2),
    "range reset": lambda fill: fill.part(2, Trouble.RESET, times=2),
    "range cut short": lambda fill: fill.part(3, Trouble.TRUNCATED, times=2),
    "range stalls": lambda fill: fill.part(3, Trouble.STALL, times=1),
    "create 503": lambda fill: fill.store("CreateMultipartUpload", 503, "SlowDown", 2),
    "part 503": lambda fill: fill.store("UploadPart", 503, "SlowDown", 2),
    "part reset": lambda fill: fill.reset("UploadPart"),
    "part stored, its answer lost": lambda fill: fill.reset("UploadPart", after=True),
    # Nobody has stored the object, so another upload is begun.
    "complete 409": lambda fill: fill.store("CompleteMultipartUpload", 409, "ConditionalRequestConflict", 1),
    "complete 500": lambda fill: fill.store("CompleteMultipartUpload", 500, "InternalError", 2),
    "complete 200 with an error": lambda fill: fill.store("CompleteMultipartUpload", 200, "InternalError", 2),
    "complete done, its answer lost": lambda fill: fill.reset("CompleteMultipartUpload", after=True),
}

LASTING: dict[str, tuple[Arrange, int, str]] = {
    "range 503": (lambda fill: fill.part(3, Trouble.UNAVAILABLE), 502, "origin_unavailable"),
    "range reset": (lambda fill: fill.part(2, Trouble.RESET), 502, "origin_unavailable"),
    "another range": (lambda fill: fill.part(2, Trouble.OTHER_RANGE), 502, "origin_unavailable"),
    # Envoy reports it as a reset; the filter knows that the time of the call was over.
    "range stalls": (lambda fill: fill.part(2, Trouble.STALL), 504, "origin_timeout"),
    "create 403": (lambda fill: fill.store("CreateMultipartUpload", 403, "AccessDenied"), 502, "not_stored"),
    "create 503": (lambda fill: fill.store("CreateMultipartUpload", 503, "SlowDown"), 502, "not_stored"),
    "part 403": (lambda fill: fill.store("UploadPart", 403, "AccessDenied"), 502, "not_stored"),
    "part 503": (lambda fill: fill.store("UploadPart", 503, "SlowDown"), 502, "not_stored"),
    "complete 403": (
        lambda fill: fill.store("CompleteMultipartUpload", 403, "AccessDenied"),
        502,
        "not_stored",
    ),
    "complete 409": (
        lambda fill: fill.store("CompleteMultipartUpload", 409, "ConditionalRequestConflict"),
        502,
        "not_stored",
    ),
    # The object is not there, whatever the store says.
    "complete 412": (
        lambda fill: fill.store("CompleteMultipartUpload", 412, "PreconditionFailed"),
        502,
        "not_stored",
    ),
    "complete 500": (
        lambda fill: fill.store("CompleteMultipartUpload", 500, "InternalError"),
        502,
        "not_stored",
    ),
}


@pytest.mark.parametrize("trouble", PASSING)
def test_what_passes_is_tried_again_and_the_object_stored(site: Site, unique: Unique, trouble: str) -> None:
    path = unique("film.mp4")
    object_ = site.origin.put(path, Large(SIZE))
    PASSING[trouble](Fill(site, path))
    answer = site.ask(path)
    assert (answer.status, answer.outcome) == (302, "stored")
    assert site.stored(path) == object_.content(range(SIZE))
    assert incomplete_uploads(site, path) == []


@pytest.mark.parametrize("trouble", LASTING)
def test_what_lasts_ends_the_fill_and_leaves_nothing(site: Site, unique: Unique, trouble: str) -> None:
    path = unique("film.mp4")
    site.origin.put(path, Large(SIZE))
    arrange, status, outcome = LASTING[trouble]
    arrange(Fill(site, path))
    answer = site.ask(path)
    assert (answer.status, answer.outcome) == (status, outcome)
    assert site.stored(path) is None
    assert incomplete_uploads(site, path) == []


def test_an_upload_whose_creation_is_in_doubt_is_not_created_again(site: Site, unique: Unique) -> None:
    """The signer's Envoy says 503 for a connection that was reset, as S3 does where it did nothing."""
    path = unique("film.mp4")
    site.origin.put(path, Large(SIZE))
    Fill(site, path).reset("CreateMultipartUpload", after=True)
    answer = site.ask(path)
    assert (answer.status, answer.outcome) == (502, "not_stored")
    assert len(site.store.calls("CreateMultipartUpload", path[1:])) == 1


def test_an_upload_is_aborted_until_it_is_gone(site: Site, unique: Unique) -> None:
    path = unique("film.mp4")
    site.origin.put(path, Large(SIZE))
    fill = Fill(site, path)
    fill.store("UploadPart", 403, "AccessDenied")
    fill.store("AbortMultipartUpload", 503, "SlowDown", times=5)
    assert site.ask(path).outcome == "not_stored"
    assert [call.status for call in site.store.calls("AbortMultipartUpload", path[1:])] == [503] * 5 + [204]
    assert incomplete_uploads(site, path) == []


def test_an_object_that_comes_meanwhile_stays(site: Site, unique: Unique) -> None:
    path = unique("film.mp4")
    site.origin.put(path, Large(SIZE))
    gate = site.origin.hold(path, at=2 * PART_SIZE)
    with site.open() as client:
        client.send("GET", path)
        site.store.requests.wait(lambda call: (call.operation, call.key) == ("UploadPart", path[1:]))
        site.store.put(path[1:], b"of somebody else")
        gate.open()
        answer = client.receive("GET")
    assert (answer.status, answer.outcome) == (302, "exists")
    assert site.follow(answer).body == b"of somebody else"
    assert incomplete_uploads(site, path) == []


def test_after_a_failure_the_next_request_fills(site: Site, unique: Unique) -> None:
    path = unique("film.mp4")
    object_ = site.origin.put(path, Large(SIZE))
    site.origin.fault(path, Trouble.RESET, at=PART_SIZE, times=3)
    assert site.ask(path).outcome == "origin_unavailable"
    assert site.follow(site.ask(path)).body == object_.content(range(SIZE))


def incomplete_uploads(site: Site, path: str) -> list[str]:
    return [upload for key, upload in site.store.uploads.open() if key == path[1:]]
