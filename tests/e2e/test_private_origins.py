"""Origins that demand a signature, a secret query or a header, as origin-*.yaml have them asked."""

from __future__ import annotations

import asyncio
import json
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from deploy.test_rotation import Volume, replace
from doubles import ScriptedOrigin, StrictBucket, replies
from doubles.large_origin import Large, LargeOrigin
from doubles.wire import Request
from stack import Credentials, OriginAccess, SeaweedFS, Stack
from stack.origins import authorization
from stack.render import write_credentials

from .client import Answer
from .conftest import Start, Unique
from .site import Site, eventually

BODY = bytes(range(256)) * 8
MIB = 1 << 20
SIGNATURE = "s3cr3t%2Bof/the=origin"
SAS = f"?sv=2024-11-04&sp=r&sr=c&sig={quote(SIGNATURE, safe='')}"
METADATA = {"rules": [{"metadata": ["*"]}]}
WIRINGS = pytest.mark.parametrize("wiring", ["redirect", "transparent"])


def fetched(site: Site, path: str, wiring: str) -> Answer:
    """Asks for a path as a client of that edge does."""
    if wiring == "transparent":
        return site.ask(f"/mirror{path}")
    answer = site.ask(path)
    return site.follow(answer) if answer.status == 302 else answer


# Buckets.


@WIRINGS
@pytest.mark.parametrize(("auth", "region"), [("s3", "us-east-2"), ("gcs", "auto")])
def test_a_private_bucket_is_read_with_a_credential_of_its_own(
    start: Start, unique: Unique, tmp_path: Path, wiring: str, auth: Any, region: str
) -> None:
    with StrictBucket("old", region) as old:
        write_credentials(tmp_path / "credentials", old.reader)
        access = OriginAccess(auth, tmp_path, region)
        site = start(origin=f"{old.url}/old", access=access, wiring=wiring, plugin=METADATA)
        # The second has characters that a web server takes as they are, beside one that it does not.
        for name in ("plain.bin", "a b@c!(1)'$&,;=:+ü.bin", "no-escape@all!.bin"):
            path = unique(name)
            old.put(
                path[1:],
                BODY,
                {"x-amz-meta-owner": "ops", "x-amz-meta-owned_by": "us", "x-amz-tagging": "a=b"},
            )
            hit = fetched(site, quote(path), wiring)
            assert (hit.status, hit.body, hit.header("x-amz-meta-owner")) == (200, BODY, "ops")
            _, stored, _ = site.store.get(path[1:])
            assert (stored["x-amz-meta-owned-by"], "x-amz-tagging" in stored) == ("us", False)
            assert stored["x-amz-meta-mirror-url"] == f"//{old.authority}/old{origin_path(path)}"
        assert {call.access_key for call in old.requests} == {old.reader.access_key}
        missing = fetched(site, unique("missing.bin"), wiring)
        assert (missing.status, missing.outcome) == (404, "not_found")


def origin_path(path: str) -> str:
    """A path in the encoding in which an origin is asked."""
    return quote(path, safe="/-._~!$&'()*,;=:@")


def test_a_new_credential_of_a_private_bucket_is_in_use_without_a_restart(
    start: Start, unique: Unique, tmp_path: Path
) -> None:
    with StrictBucket("old") as old:
        write_credentials(tmp_path / "credentials", Credentials("SOMEBODYELSE", "secret"))
        site = start(origin=f"{old.url}/old", access=OriginAccess("s3", tmp_path, old.region))
        path = unique()
        old.put(path[1:], BODY)
        assert (site.ask(path).status, site.ask(path).outcome) == (502, "origin_refused")
        write_credentials(tmp_path / "credentials", old.reader)
        eventually(lambda: site.ask(path).status, 302)
        assert site.ask(path).body == BODY


def test_one_seaweedfs_is_filled_from_another(tmp_path: Path, unique: Unique, origin: ScriptedOrigin) -> None:
    (tmp_path / "old").mkdir()
    with SeaweedFS(tmp_path / "old", "old") as old:
        write_credentials(tmp_path / "credentials", old.reader)
        options = {"access": OriginAccess("s3", tmp_path), "plugin": METADATA, "origin": f"{old.url}/old"}
        with SeaweedFS(tmp_path) as store, Stack(tmp_path, store=store, **options) as stack:
            site = Site(stack, store, origin)
            path = unique("a b.bin")
            old.put(path[1:], BODY, {"x-amz-meta-owner": "ops"})
            hit = site.follow(site.ask(quote(path)))
            assert (hit.status, hit.body, hit.header("x-amz-meta-owner")) == (200, BODY, "ops")
            missing = unique("missing.bin")
            for _ in range(2):
                answer = site.ask(missing)
                assert (answer.status, answer.outcome) == (404, "not_found")
            site.assert_module_healthy()


# A secret query.


class Container(LargeOrigin):
    """A container of Azure: it gives nothing without the signature, and says whom an object is of."""

    async def respond(self, request: Request, writer: asyncio.StreamWriter) -> bool:
        if request.query != SAS[1:]:
            self.requests.add(request)
            writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
            return True
        return await super().respond(request, writer)


@WIRINGS
def test_a_shared_access_signature_goes_to_its_origin_and_nowhere_else(
    start: Start, unique: Unique, monkeypatch: pytest.MonkeyPatch, wiring: str
) -> None:
    monkeypatch.setenv("ORIGIN_SAS", SAS)
    with Container() as container:
        site = start(origin=f"{container.url}/old", access=OriginAccess("sas"), wiring=wiring)
        path = unique("film.mp4")
        large = container.put(f"/old{path}", Large(40 * MIB))
        answers = [fetched(site, path, wiring), fetched(site, unique("missing.bin"), wiring)]
        assert [answer.status for answer in answers] == [200, 404]
        assert answers[0].body == large.content(range(large.size))
        _, stored, _ = site.store.get(path[1:])
        assert stored["x-amz-meta-mirror-url"] == f"//{container.authority}/old{path}"
        seen = [str(answer.headers) for answer in answers] + [str(stored), str(answers[1].body)]
        seen += [str(call.request) for call in site.store.requests if call.operation != "UploadPart"]
        site.access_logged(path)
        for log in (site.stack.edge, site.stack.signer):
            seen += [log.log_path.read_text(), log.access_log_path.read_text()]
        assert not [text for text in seen if "s3cr3t" in text]


# A header.


@pytest.mark.parametrize("how", ["kubernetes", "compose"])
def test_an_origin_gets_its_authorization_and_a_new_one_without_a_restart(
    start: Start, unique: Unique, origin: ScriptedOrigin, tmp_path: Path, how: str
) -> None:
    def demands(value: str) -> Any:
        granted, refused = replies.resource(BODY), replies.status(401, {"WWW-Authenticate": "Basic"})
        return lambda request: (granted if request.header("authorization") == value else refused)(request)

    volume = tmp_path / "secret"
    moved = Volume(volume).write if how == "kubernetes" else partial(replace, volume)

    def write(value: str) -> None:
        moved("authorization.yaml", authorization(value))

    write("Basic dXNlcjpvbGQ=")
    site = start(access=OriginAccess("authorization", volume))
    old, new = unique("old.bin"), unique("new.bin")
    origin.script(old, demands("Basic dXNlcjpvbGQ="))
    origin.script(new, demands("Bearer new"))
    # A client's own goes nowhere.
    assert site.follow(site.ask(old, headers=[("authorization", "Basic mine")])).body == BODY
    assert site.ask(new).outcome == "origin_refused"
    write("Bearer new")
    eventually(lambda: site.ask(new).status, 302)
    assert "dXNlc" not in json.dumps([str(call.request) for call in site.store.requests])


# What a bucket demands of those who write.


@WIRINGS
def test_a_bucket_gets_what_it_demands_of_a_write(start: Start, unique: Unique, wiring: str) -> None:
    demands = {
        "x-amz-acl": "bucket-owner-full-control",
        "x-amz-expected-bucket-owner": "111122223333",
        "x-amz-server-side-encryption": "aws:kms",
        "x-amz-server-side-encryption-aws-kms-key-id": "arn:aws:kms:eu-west-1:111122223333:key/1234abcd",
        "x-amz-tagging": "from=old&by=mirror",
    }
    with LargeOrigin() as large:
        site = start(origin=large.url, plugin={"bucket": {"put_headers": demands}}, wiring=wiring)
        site.store.demands.update(demands)
        for size in (1000, 13 * MIB):
            path = unique(f"{size}.bin")
            content = large.put(path, Large(size))
            hit = fetched(site, path, wiring)
            assert (hit.status, hit.body) == (200, content.content(range(size)))


def test_without_them_such_a_bucket_refuses_the_object(start: Start, unique: Unique) -> None:
    site, path = start(), unique()
    site.store.demands["x-amz-server-side-encryption"] = "aws:kms"
    site.origin.put(path, BODY)
    answer = site.ask(path)
    assert (answer.outcome, site.stored(path)) == ("not_stored", None)


def test_user_metadata_that_does_not_fit_is_left_out_with_a_warning(start: Start, unique: Unique) -> None:
    site, path = start(plugin=METADATA), unique()
    many = {f"x-ms-meta-{number}": "v" for number in range(80)}
    site.origin.put(path, BODY, {"x-ms-meta-long": "v" * 3000, **many})
    assert site.follow(site.ask(path)).body == BODY
    _, stored, _ = site.store.get(path[1:])
    assert len([name for name in stored if name.startswith("x-amz-meta-")]) == 64 + 3
    eventually(
        lambda: "user metadata of the origin is left out" in site.stack.edge.log_path.read_text(), True
    )


def test_no_metadata_of_an_origin_costs_the_object(start: Start, unique: Unique) -> None:
    site = start(plugin=METADATA)
    for file, name, value, kept in [
        ("dot", "x-amz-meta-a.b", "two  spaces", "two  spaces"),
        ("tab", "x-amz-meta-a", "tabs \t and spaces", None),
        ("tag", "etag", '"tabs \t and spaces"', None),
    ]:
        path = unique(file)
        site.origin.put(path, BODY, {name: value})
        assert site.follow(site.ask(path)).body == BODY, name
        _, stored, _ = site.store.get(path[1:])
        assert stored.get("x-amz-meta-mirror-etag" if name == "etag" else name) == kept


# What a private bucket says of a key that it does not have.


def test_a_403_that_means_missing_is_a_404_and_remembered(
    start: Start, unique: Unique, tmp_path: Path
) -> None:
    with StrictBucket("old") as old, old.without_list_right(old.reader):
        write_credentials(tmp_path / "credentials", old.reader)
        plugin = {"origin": {"missing": [403, 404]}, "negative_ttl": "1h"}
        access = OriginAccess("s3", tmp_path, old.region)
        site = start(origin=f"{old.url}/old", access=access, plugin=plugin)
        path = unique()
        for _ in range(3):
            answer = site.ask(path)
            assert (answer.status, answer.outcome) == (404, "not_found")
        assert [call.status for call in old.requests] == [403]
