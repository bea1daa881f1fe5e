"""S3 clients that follow no redirect, cold keys, through the transparent wiring; `make clients` has more."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from minio import Minio

from doubles import ScriptedOrigin, StrictBucket
from doubles.large_origin import Large, LargeOrigin
from stack import SeaweedFS

from .conftest import Start, Unique
from .site import Site, eventually, running

BODY = bytes(range(256)) * 256
LARGE = bytes(range(256)) * (20 << 12)
"""20 MiB: more than boto3 and minio-py read in one request."""

CREDENTIALS = {"aws_access_key_id": "anything", "aws_secret_access_key": "anything-at-all"}


@pytest.fixture
def site(start: Start) -> Iterator[Site]:
    site = start(wiring="transparent", plugin={"wait": "60s"})
    yield site
    (redirects,) = site.stats("^http.edge.downstream_rq_3xx").values()
    assert redirects == 0, "a client saw a redirect"


def test_boto3_reads_cold_keys(site: Site, unique: Unique, tmp_path: Path) -> None:
    # A retry would hide an answer that it does not understand.
    once = Config(retries={"max_attempts": 0})
    s3 = boto3.client("s3", endpoint_url=site.stack.url, region_name="us-east-1", config=once, **CREDENTIALS)

    def cold(name: str, body: bytes = BODY) -> dict[str, Any]:
        path = unique(name)
        site.origin.put(path, body)
        return {"Bucket": "mirror", "Key": path[1:]}

    assert s3.get_object(**cold("get"))["Body"].read() == BODY
    assert s3.get_object(**cold("range"), Range="bytes=1000-1999")["Body"].read() == BODY[1000:2000]
    assert s3.head_object(**cold("head"))["ContentLength"] == len(BODY)
    file = tmp_path / "downloaded"
    s3.download_file(**cold("download", LARGE), Filename=str(file))
    assert file.read_bytes() == LARGE
    with pytest.raises(s3.exceptions.NoSuchKey):
        s3.get_object(Bucket="mirror", Key=unique("nowhere")[1:])


def test_who_looks_for_a_path_learns_that_it_is_not_there(site: Site, unique: Unique) -> None:
    """Hadoop's S3A asks so for each path without an object, gocloud for any key, and mc for one more."""
    s3 = boto3.client("s3", endpoint_url=site.stack.url, region_name="us-east-1", **CREDENTIALS)
    site.store.put("stored", BODY)
    missing = {"Bucket": "mirror", "Prefix": f"{unique()[1:]}/", "Delimiter": "/"}
    for found in (
        s3.list_objects_v2(**missing, MaxKeys=2),
        s3.list_objects(**missing, MaxKeys=1),
        s3.list_objects_v2(Bucket="mirror", MaxKeys=1),
    ):
        assert ("Contents" in found, "CommonPrefixes" in found, found["IsTruncated"]) == (False, False, False)
    with pytest.raises(ClientError, match="AccessDenied"):
        s3.list_objects_v2(Bucket="mirror", MaxKeys=10)
    with pytest.raises(ClientError, match="AccessDenied"):
        s3.list_objects_v2(Bucket="mirror")


def test_a_listing_that_is_allowed_works_with_the_store_of_make_run(
    tmp_path: Path, origin: ScriptedOrigin
) -> None:
    def allow(edge: dict[str, Any]) -> None:
        edge["layered_runtime"]["layers"][0]["static_layer"]["listing"] = 100

    options = {"wiring": "transparent", "edit_edge": allow}
    with running(tmp_path, origin, SeaweedFS(tmp_path), workers=1, **options) as site:
        s3 = boto3.client("s3", endpoint_url=site.stack.url, region_name="us-east-1", **CREDENTIALS)
        site.store.put("stored", BODY)
        for many in (1, 1000):
            found = s3.list_objects_v2(Bucket="mirror", MaxKeys=many)
            assert [each["Key"] for each in found["Contents"]] == ["stored"]


def test_minio_py_reads_cold_keys(site: Site, unique: Unique, tmp_path: Path) -> None:
    client = Minio(urlsplit(site.stack.url).netloc, access_key="any", secret_key="any-at-all", secure=False)

    def cold(name: str, body: bytes = BODY) -> tuple[str, str]:
        path = unique(name)
        site.origin.put(path, body)
        return "mirror", path[1:]

    assert client.get_object(*cold("get")).read() == BODY
    assert client.get_object(*cold("range"), offset=1000, length=1000).read() == BODY[1000:2000]
    assert client.stat_object(*cold("head")).size == len(BODY)
    file = tmp_path / "downloaded"
    client.fget_object(*cold("download", LARGE), str(file))
    assert file.read_bytes() == LARGE


def test_boto3_reads_a_large_object_while_it_is_stored(tmp_path: Path, unique: Unique) -> None:
    """`make clients-large` has 200 MiB, an origin of 5 MB/s, and more clients."""
    plugin = {"rules": [{"response": "serve"}]}
    path, size = unique("film"), 40 << 20
    with LargeOrigin(rate=20e6) as origin:
        film = origin.put(path, Large(size))
        with running(tmp_path, origin, StrictBucket(), wiring="transparent", plugin=plugin) as site:
            once = Config(retries={"max_attempts": 0})
            s3 = boto3.client(
                "s3", endpoint_url=site.stack.url, region_name="us-east-1", config=once, **CREDENTIALS
            )
            file = tmp_path / "film"
            s3.download_file("mirror", path[1:], str(file))
            assert hashlib.sha256(file.read_bytes()).hexdigest() == film.sha256()
            (refused,) = site.stats("^http.edge.downstream_rq_5xx").values()
            assert refused == 0
            eventually(lambda: site.stored(path) is not None, True)
        # Ten connections are more reads of the origin than one: each that is passed on, and the fill.
        assert origin.sent[path] < 3 * size


def test_who_heads_a_large_cold_object_learns_its_date(start: Start, unique: Unique) -> None:
    """aws-cli, minio-go and Hadoop's S3A fail without."""
    date = "Sun, 06 Nov 1994 08:49:37 GMT"
    site = start(wiring="transparent", plugin={"rules": [{"response": "serve"}]})
    path = unique("film")
    site.origin.put(path, bytes(7 << 20), {"ETag": '"1"', "Last-Modified": date})
    head = site.ask(f"/mirror{path}", "HEAD")
    assert (head.outcome, head.header("last-modified")) == ("streamed", date)
