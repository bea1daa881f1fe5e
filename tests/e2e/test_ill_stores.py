"""Stores that are full, read-only, without quorum or not there, and stores that refuse a credential or a key.

For each: the client's answer, the warning that names credential, bucket and cure, and what is counted.
"""

from __future__ import annotations

from typing import Any, get_args

import pytest

from stack.render import Wiring, named

from .conftest import WIRINGS, Start, Unique, Wired
from .site import Site, error_code, eventually

BODY = b"an object that the origin has\n"
LARGE = b"0123456789abcdef" * (7 << 16)
"""More than a part."""

ALWAYS = 1000


def warned(site: Site) -> list[str]:
    """Returns the warnings of the module."""
    lines = site.stack.edge.log_path.read_text(errors="replace").splitlines()
    return [line.partition("wasm log ")[2] for line in lines if "][warning][wasm]" in line]


def counted(site: Site, name: str) -> int:
    return site.stats(f"^wasmcustom.{name}").get(f"wasmcustom.{name}", 0)


@pytest.mark.parametrize("code", ["KeyTooLongError", "XMinioInvalidObjectName"])
def test_a_key_that_the_store_cannot_hold_is_handed_out_and_not_stored(
    wired: Wired, unique: Unique, code: str
) -> None:
    path = unique("a-key-of-the-old-store.html")
    wired.site.origin.put(path, BODY)
    wired.site.store.fault("GetObject", path[1:], ALWAYS, status=400, code=code)
    answer = wired.read(path)
    assert (answer.status, answer.outcome, answer.body) == (200, "not_stored", BODY)
    assert wired.site.store.calls("PutObject", path[1:]) == []


@pytest.mark.parametrize("wiring", get_args(Wiring))
@pytest.mark.parametrize(
    ("status", "code", "cure"),
    [
        (403, "AccessDenied", "give the signer's credential s3:PutObject there"),
        (403, "InvalidAccessKeyId", "give the signer's credential s3:PutObject there"),
        (403, "QuotaExceeded", "the bucket is over its quota"),
        (404, "NoSuchBucket", "there is no such bucket"),
        (507, "XMinioStorageFull", "it is full, read-only or down"),
        (503, "SlowDownWrite", "it is full, read-only or down"),
    ],
)
def test_a_store_that_takes_nothing_costs_no_object_and_is_warned_of(
    start: Start, unique: Unique, wiring: Wiring, status: int, code: str, cure: str
) -> None:
    site = start(wiring=wiring)
    site.store.fault("PutObject", None, ALWAYS, status=status, code=code)
    for _ in range(2):
        path = unique("small.txt")
        site.origin.put(path, BODY)
        answer = site.ask(WIRINGS[wiring] + path)
        assert (answer.status, answer.outcome, answer.body) == (200, "not_stored", BODY)
    place = f"{site.store.authority}/mirror"
    expected = f"the store takes no object of the signer's into {place}: {status} {code}: {cure}"
    eventually(lambda: [line.endswith(expected) for line in warned(site)], [True])
    assert counted(site, "mirror_on_miss_warnings_total") == 1
    assert counted(site, "mirror_on_miss_fills_total.outcome.not_stored") == 2


@pytest.mark.parametrize(
    ("status", "code"), [(503, "SlowDownWrite"), (507, "XMinioStorageFull"), (403, "AccessDenied")]
)
def test_an_object_over_one_part_comes_from_the_origin_while_the_store_takes_nothing(
    wired: Wired, unique: Unique, status: int, code: str
) -> None:
    path = unique("large.bin")
    wired.site.origin.put(path, LARGE, {"ETag": '"1"'})
    wired.site.store.fault("CreateMultipartUpload", path[1:], ALWAYS, status=status, code=code)
    answer = wired.read(path)
    assert (answer.status, answer.outcome, answer.body == LARGE) == (200, "streamed", True), answer.headers


@pytest.mark.parametrize("wiring", get_args(Wiring))
@pytest.mark.parametrize(
    ("status", "code", "cure"),
    [
        (403, "InvalidAccessKeyId", ": see reader.credentials"),
        (403, "SignatureDoesNotMatch", ": see reader.credentials"),
        (404, "NoSuchBucket", ": see BUCKET and STORE"),
        (403, "AllAccessDisabled", ""),
    ],
)
def test_a_reader_that_is_refused_is_warned_of_and_its_bucket_s_word_stands(
    start: Start, unique: Unique, wiring: Wiring, status: int, code: str, cure: str
) -> None:
    site, path = start(wiring=wiring), unique()
    site.origin.put(path, BODY)
    site.store.fault("GetObject", None, ALWAYS, status=status, code=code)
    for _ in range(2):
        answer = site.ask(WIRINGS[wiring] + path)
        assert (answer.status, error_code(answer)) == (status, code)
    place = f"{site.store.authority}/mirror"
    expected = f"the bucket {place} answers {code} to the edge, and nothing is mirrored{cure}"
    eventually(lambda: [line.endswith(expected) for line in warned(site)], [True])
    assert counted(site, "mirror_on_miss_requests_total.outcome.bucket_error") == 2
    assert site.origin.count(path) == 0


def test_a_reader_that_may_read_nothing_is_told_apart_by_the_writers_head(
    start: Start, unique: Unique
) -> None:
    site, path = start(), unique()
    site.store.put(path[1:], BODY, age=3600)  # A new one may have been stored after the denial.
    site.store.forbid(path[1:])
    answer = site.ask(path)
    assert (answer.status, error_code(answer)) == (403, "AccessDenied")
    eventually(lambda: counted(site, "mirror_on_miss_requests_total.outcome.forbidden"), 1)


def _nowhere(cluster: str) -> Any:
    def edit(document: dict[str, Any]) -> None:
        (place,) = named(document["static_resources"]["clusters"], cluster)["load_assignment"]["endpoints"][
            0
        ]["lb_endpoints"]
        place["endpoint"]["address"]["socket_address"]["port_value"] = 9

    return edit


@pytest.mark.parametrize("wiring", get_args(Wiring))
def test_a_store_that_is_gone_between_miss_and_write_costs_no_object(
    start: Start, unique: Unique, wiring: Wiring
) -> None:
    site, path = start(wiring=wiring, edit_signer=_nowhere("store")), unique()
    site.origin.put(path, BODY)
    answer = site.ask(WIRINGS[wiring] + path)
    assert (answer.status, answer.outcome, answer.body) == (200, "not_stored", BODY)
    eventually(lambda: [line.endswith(": it is full, read-only or down") for line in warned(site)], [True])


@pytest.mark.parametrize("wiring", get_args(Wiring))
def test_a_bucket_that_is_not_there_is_a_503_that_the_edge_counts(
    start: Start, unique: Unique, wiring: Wiring
) -> None:
    site = start(wiring=wiring, edit_edge=_nowhere("bucket"))
    answer = site.ask(WIRINGS[wiring] + unique())
    assert (answer.status, answer.outcome) == (503, None)
    assert (
        site.stats("^cluster.bucket.upstream_cx_connect_fail$")["cluster.bucket.upstream_cx_connect_fail"]
        >= 1
    )
