"""`mirror-on-miss probe`: it names the settings that a store needs, and leaves nothing behind."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import pytest

from doubles.s3.dialects import AWS, CEPH_18, GARAGE, SEAWEEDFS
from doubles.strict_bucket import StrictBucket
from stack import Credentials, SeaweedFS

from .command import command
from .site import Site

UNKNOWN = Credentials("nobody", "secret")
FITS, WILL_NOT_DO, CANNOT_BE_ASKED = 0, 1, 2


@pytest.fixture
def bucket(request: pytest.FixtureRequest) -> Iterator[StrictBucket]:
    with StrictBucket(dialect=getattr(request, "param", AWS)) as bucket:
        yield bucket


def probe(
    url: str, credentials: Credentials, *options: str, region: str = "eu-west-1", **variables: str
) -> tuple[int, str]:
    ours = {
        "AWS_ACCESS_KEY_ID": credentials.access_key,
        "AWS_SECRET_ACCESS_KEY": credentials.secret_key,
        "AWS_REGION": region,
        **variables,
    }
    others = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "STORE_"))}
    argv = [command(), "probe", *options, url, "mirror"]
    done = subprocess.run(argv, env={**others, **ours}, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def assert_nothing_is_left(bucket: StrictBucket) -> None:
    assert bucket.list() == []
    assert list(bucket.uploads.open()) == []


@pytest.mark.parametrize(
    ("bucket", "condition", "keys"),
    [
        (AWS, "true", "may be `exact`"),
        (CEPH_18, "false", "may be `exact`"),
        (GARAGE, "false", "may be `exact`"),
        (SEAWEEDFS, "true", "keep `bucket.keys` at `plain`"),
    ],
    indirect=["bucket"],
    ids=["AWS", "Ceph 18", "Garage", "SeaweedFS"],
)
def test_the_condition_that_a_store_honours_is_the_one_that_is_named(
    bucket: StrictBucket, condition: str, keys: str
) -> None:
    code, said = probe(bucket.url, bucket.owner)
    assert code == FITS, said
    assert f"IF_NONE_MATCH={condition} ADDRESSING_STYLE=path\n" in said
    assert keys in said
    assert_nothing_is_left(bucket)


def test_a_real_store_is_probed(seaweed: Site) -> None:
    store = seaweed.store
    assert isinstance(store, SeaweedFS)
    code, said = probe(store.url, store.owner, region=store.region, STORE_KIND="seaweedfs")
    assert code == FITS, said
    assert "STORE_KIND means the same for aws, minio, r2, seaweedfs" in said
    assert b"mirror-on-miss-probe" not in store.request("GET", "", store.owner, query={"list-type": "2"})[2]


@pytest.mark.parametrize("bucket", [GARAGE], indirect=True)
def test_a_kind_that_promises_more_than_the_store_keeps_will_not_do(bucket: StrictBucket) -> None:
    code, said = probe(bucket.url, bucket.owner, STORE_KIND="minio")
    assert (code, "STORE_KIND=minio means IF_NONE_MATCH=true, which this store does not honour" in said) == (
        1,
        True,
    )
    assert probe(bucket.url, bucket.owner, STORE_KIND="garage")[0] == FITS


def test_a_bucket_in_the_host_is_probed_there() -> None:
    with StrictBucket(virtual_hosted=True) as bucket:
        code, said = probe(bucket.url, bucket.owner, "--virtual")
        assert (code, "ADDRESSING_STYLE=virtual" in said) == (FITS, True), said
        assert probe(bucket.url, bucket.owner)[0] == WILL_NOT_DO


def test_a_credential_that_may_not_list_sees_a_403_for_a_missing_key(bucket: StrictBucket) -> None:
    with bucket.without_list_right(bucket.owner):
        code, said = probe(bucket.url, bucket.owner)
    assert (code, "a missing key is 403: this credential may not list" in said) == (FITS, True)


def test_what_may_not_be_removed_is_named(bucket: StrictBucket) -> None:
    code, said = probe(bucket.url, bucket.writer, "--prefix", "tests/")
    left = bucket.list()
    assert code == FITS, said
    assert left
    assert all(key.startswith("tests/mirror-on-miss-probe/") and key in said for key in left)


@pytest.mark.parametrize(
    ("whose", "says"),
    [
        ("reader", "PUT of a new key is 403 AccessDenied: the writer needs s3:PutObject"),
        ("unknown", "403 InvalidAccessKeyId: the store does not take this credential"),
    ],
)
def test_a_credential_that_will_not_do_is_told_why(bucket: StrictBucket, whose: str, says: str) -> None:
    code, said = probe(bucket.url, bucket.reader if whose == "reader" else UNKNOWN)
    assert (code, says in said) == (WILL_NOT_DO, True), said
    assert_nothing_is_left(bucket)


def test_another_region_is_told_as_such(bucket: StrictBucket) -> None:
    code, said = probe(bucket.url, bucket.owner, region="us-east-2")
    assert (code, "another region (AWS_REGION)" in said) == (WILL_NOT_DO, True), said


@pytest.mark.parametrize(
    ("url", "variables", "says"),
    [
        ("http://127.0.0.1:9", {}, "no answer from http://127.0.0.1:9/mirror"),
        (
            "http://127.0.0.1:9",
            {"STORE_KIND": "minoi"},
            "STORE_KIND=minoi is not allowed; allowed is aws, ceph",
        ),
        ("127.0.0.1", {}, "127.0.0.1 is not allowed as STORE; allowed is https://HOST[:PORT]"),
        ("http://127.0.0.1:9", {"AWS_ACCESS_KEY_ID": ""}, "AWS_ACCESS_KEY_ID is not set"),
    ],
)
def test_a_store_that_cannot_be_asked_is_no_verdict(url: str, variables: dict[str, str], says: str) -> None:
    code, said = probe(url, UNKNOWN, **variables)
    assert (code, says in said) == (CANNOT_BE_ASKED, True), said
