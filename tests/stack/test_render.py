"""The shipped Envoy configurations: valid as they stand, and adapted without leaving an example behind."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from . import render
from .envoy import binary
from .render import CHECKOUT, Place, merge, named
from .sigv4 import Credentials
from .stack import WASM
from .store import S3Store

READER = Credentials("reader", "secret")
WRITER = Credentials("writer", "secret", "token")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    store = S3Store("https://s3.example.net:9000", "us-east-2", "shop.example", READER, WRITER)
    return Place(store, store.bucket, tmp_path)


def rendered_edge(place: Place, **changes: Any) -> dict[str, Any]:
    usual = {"port": 1, "origin": "http://old.example.net/v1/", "signer_port": 2, "wasm": WASM, "plugin": {}}
    return render.edge(place, **{**usual, **changes})


def manager(document: dict[str, Any]) -> dict[str, Any]:
    (listener,) = document["static_resources"]["listeners"]
    return listener["filter_chains"][0]["filters"][0]["typed_config"]


def plugin(document: dict[str, Any]) -> dict[str, Any]:
    module = named(manager(document)["http_filters"], "mirror_on_miss")
    return json.loads(module["typed_config"]["config"]["configuration"]["value"])


@pytest.mark.parametrize("name", ["edge.yaml", "signer.yaml"])
def test_what_is_shipped_is_valid(name: str) -> None:
    argv = [binary(), "--mode", "validate", "--disable-hot-restart", "-c", CHECKOUT / "envoy" / name]
    done = subprocess.run(argv, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_no_example_is_left(place: Place) -> None:
    text = json.dumps([rendered_edge(place), render.signer(place)])
    for example in ("my-bucket", "files.example.com", "eu-west-1", "amazonaws", "/etc/mirror-on-miss"):
        assert example not in text


def test_edge_and_signer_hold_one_credential_each(place: Place) -> None:
    rendered_edge(place)
    render.signer(place)
    reader, writer = place.run_dir / "reader.credentials", place.run_dir / "writer.credentials"
    assert "aws_access_key_id=reader" in reader.read_text()
    assert "aws_access_key_id=writer" in writer.read_text()
    assert "aws_session_token=token" in writer.read_text()
    assert reader.stat().st_mode & 0o777 == writer.stat().st_mode & 0o777 == 0o600


def test_tls_only_where_the_url_says_so(place: Place) -> None:
    clusters = rendered_edge(place)["static_resources"]["clusters"]
    assert "transport_socket" in named(clusters, "bucket")
    assert "transport_socket" not in named(clusters, "origin")


def test_the_plugin_is_told_bucket_and_origin(place: Place) -> None:
    assert plugin(rendered_edge(place, plugin={"wait": "5s"})) == {
        "bucket": {"cluster": "signer", "authority": "s3.example.net:9000", "path_prefix": "/shop.example"},
        "origin": {"cluster": "origin", "authority": "old.example.net", "path_prefix": "/v1"},
        "wait": "5s",
    }


def test_exposed_path_serves_the_bucket_under_its_name_and_nothing_else(place: Place) -> None:
    document = rendered_edge(place, plugin={"bucket": {"exposed": "path"}})
    routes = manager(document)["route_config"]["virtual_hosts"][0]["routes"]
    assert named(routes, "object")["match"] == {"prefix": "/shop.example/"}
    assert "prefix_rewrite" not in named(routes, "object")["route"]
    assert routes[-1]["direct_response"] == {"status": 404}


def test_merge_is_a_json_merge_patch() -> None:
    """The cases of RFC 7396, appendix A, that have an object as patch."""
    assert merge({"a": "b"}, {"a": "c"}) == {"a": "c"}
    assert merge({"a": "b"}, {"b": "c"}) == {"a": "b", "b": "c"}
    assert merge({"a": "b", "b": "c"}, {"a": None}) == {"b": "c"}
    assert merge({"a": ["b"]}, {"a": "c"}) == {"a": "c"}
    assert merge({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}) == {"a": {"b": "d"}}
    assert merge({"a": [{"b": "c"}]}, {"a": [1]}) == {"a": [1]}
    assert merge({}, {"a": {"bb": {"ccc": None}}}) == {"a": {"bb": {}}}
