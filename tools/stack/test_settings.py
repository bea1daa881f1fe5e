"""The variables of `make run`: their meaning, and a message with the allowed values for every mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from .kinds import kinds
from .origins import OriginAccess
from .settings import SettingsError, parse
from .sigv4 import Credentials


def test_nothing_set_is_the_sample_origin_and_the_embedded_store() -> None:
    settings = parse({"AWS_ACCESS_KEY_ID": "of another program"})
    assert (settings.origin, settings.store, settings.plugin) == (None, None, {})
    assert (settings.port, settings.bucket, settings.workers) == (10000, "mirror", 2)
    assert (settings.wiring, settings.exposes_path) == ("redirect", False)


def test_an_empty_variable_is_not_set() -> None:
    assert parse({"ORIGIN": "", "PORT": "", "EXPOSED": ""}) == parse({})


@pytest.mark.parametrize(
    "origin", ["http://127.0.0.1:9999", "https://files.example.com/v1/", "http://[::1]:80/"]
)
def test_an_origin(origin: str) -> None:
    assert parse({"ORIGIN": origin}).origin == origin


def test_other_kinds_of_origins() -> None:
    assert parse({"ORIGIN_DNS": "strict", "ORIGIN_HTTP": "2"}).access == OriginAccess(
        strict_dns=True, http2=True
    )
    assert parse({"ORIGIN_DNS": "logical", "ORIGIN_HTTP": "1"}).access == OriginAccess()


def test_exposed_is_merged_into_config(tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text('{"wait": "5s", "bucket": {"path_prefix": "/other"}}')
    settings = parse({"CONFIG": str(config), "EXPOSED": "path"})
    assert settings.plugin == {"wait": "5s", "bucket": {"path_prefix": "/other", "exposed": "path"}}
    assert settings.exposes_path


def test_the_kind_of_the_store_says_what_it_needs() -> None:
    needs = {name: parse({"STORE_KIND": name}).plugin.get("bucket", {}) for name in kinds()}
    assert needs["aws"] == needs["minio"] == needs["seaweedfs"] == {}
    assert needs["garage"] == needs["ceph"] == {"if_none_match": False}
    assert needs["oss"] == {"if_none_match": "x-oss-forbid-overwrite", "path_prefix": ""}


def test_what_is_said_of_a_store_goes_before_its_kind_and_config_before_both(tmp_path: Path) -> None:
    said = {"STORE_KIND": "garage", "IF_NONE_MATCH": "true", "ADDRESSING_STYLE": "virtual"}
    assert parse(said).plugin == {"bucket": {"path_prefix": ""}}
    config = tmp_path / "config.json"
    config.write_text('{"bucket": {"if_none_match": null, "path_prefix": "/b"}}')
    assert parse({"STORE_KIND": "oss", "CONFIG": str(config)}).plugin["bucket"] == {
        "if_none_match": None,
        "path_prefix": "/b",
    }


def test_a_bucket_in_the_host_is_looked_at_there() -> None:
    variables = {"S3_ENDPOINT": "https://oss.test", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
    store = parse({**variables, "STORE_KIND": "oss", "BUCKET": "theirs"}).store
    assert store is not None
    assert store.host == "theirs.oss.test"


def test_the_transparent_wiring_exposes_path_unless_told_otherwise() -> None:
    transparent = parse({"WIRING": "transparent"})
    assert (transparent.wiring, transparent.exposes_path) == ("transparent", True)
    assert not parse({"WIRING": "transparent", "EXPOSED": "root"}).exposes_path


def test_an_existing_store() -> None:
    variables = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "eu-west-1"}
    store = parse({"S3_ENDPOINT": "https://s3.example.com/", "BUCKET": "theirs", **variables}).store
    assert store is not None
    assert (store.url, store.region, store.bucket) == ("https://s3.example.com", "eu-west-1", "theirs")
    assert store.reader == store.writer == Credentials("id", "secret")


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("ADDRESSING_STYLE", "host", "path or virtual"),
        ("BUCKET", "Upper", "a-z"),
        ("BUCKET", "ab", "3 to 63"),
        ("ENVOY_VERSION", "1.35.9", "1.36.2 or later"),
        ("ENVOY_VERSION", "latest", "1.36.2 or later"),
        ("EXPOSED", "both", "root or path"),
        ("CA_FILE", "/no/such/file.pem", "a file of certificates in PEM"),
        ("IF_NONE_MATCH", "x-evil", "true, false, x-cos-forbid-overwrite"),
        ("STORE_KIND", "minoi", "aws, ceph, cos, garage, gcs, minio, oss, r2"),
        ("ORIGIN_DNS", "static", "logical or strict"),
        ("ORIGIN_HTTP", "3", "1 or 2"),
        ("ON_5XX", "serve", "pass or origin"),
        ("ORIGIN", "files.example.com", "https://host"),
        ("ORIGIN", "ftp://files.example.com", "https://host"),
        ("ORIGIN", "http://", "https://host"),
        ("ORIGIN", "http://host:port", "https://host"),
        ("ORIGIN", "http://host/a/../b", "https://host"),
        ("ORIGIN", "http://host/?query", "https://host"),
        ("ORIGIN", "http://user:password@host", "https://host"),
        ("PORT", "0", "1 to 65535"),
        ("PORT", "65536", "1 to 65535"),
        ("PORT", "http", "1 to 65535"),
        ("S3_ENDPOINT", "https://host/bucket", "https://host"),
        ("WIRING", "inline", "redirect or transparent"),
        ("WORKERS", "-1", "1 to 64"),
    ],
)
def test_a_value_that_is_not_allowed(name: str, value: str, allowed: str) -> None:
    with pytest.raises(SettingsError) as error:
        parse({name: value, "AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret"})
    (problem,) = error.value.problems
    assert problem.startswith(f"{name}={value} is not allowed")
    assert allowed in problem


@pytest.mark.parametrize("content", ["{", "[]", None])
def test_config_must_be_a_file_with_a_json_object(tmp_path: Path, content: str | None) -> None:
    config = tmp_path / "config.json"
    if content is not None:
        config.write_text(content)
    with pytest.raises(SettingsError) as error:
        parse({"CONFIG": str(config)})
    (problem,) = error.value.problems
    assert problem.startswith(f"CONFIG={config}: ")


def test_a_store_needs_credentials() -> None:
    with pytest.raises(SettingsError) as error:
        parse({"S3_ENDPOINT": "http://127.0.0.1:9000"})
    assert [problem.split()[0] for problem in error.value.problems] == [
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
    ]


def test_all_problems_are_named_at_once() -> None:
    with pytest.raises(SettingsError) as error:
        parse({"PORT": "x", "WORKERS": "x", "BUCKET": "X"})
    assert len(error.value.problems) == 3
