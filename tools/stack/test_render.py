"""The shipped Envoy configurations: valid as they stand, and adapted without leaving an example behind."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from . import headers, render
from .envoy import binary
from .render import CHECKOUT, Place, merge, named
from .sigv4 import Credentials
from .stack import WASM
from .store import S3Store

READER = Credentials("reader", "secret")
WRITER = Credentials("writer", "secret", "token")
S3_XML = "http://s3.amazonaws.com/doc/2006-03-01/"
"""The name of S3's own documents."""


@pytest.fixture
def place(tmp_path: Path) -> Place:
    store = S3Store("https://s3.example.net:9000", "us-east-2", "shop.example", READER, WRITER)
    return Place(store, store.bucket, tmp_path)


def rendered_edge(place: Place, **changes: Any) -> dict[str, Any]:
    usual = {"port": 1, "origin": "http://old.example.net/v1/", "signer_port": 2, "wasm": WASM, "plugin": {}}
    return render.edge(place, **{**usual, **changes})


def manager(document: dict[str, Any]) -> dict[str, Any]:
    listener = named(document["static_resources"]["listeners"], "edge")
    return listener["filter_chains"][0]["filters"][0]["typed_config"]


def routes(document: dict[str, Any]) -> list[dict[str, Any]]:
    return manager(document)["route_config"]["virtual_hosts"][0]["routes"]


def plugin(document: dict[str, Any]) -> dict[str, Any]:
    return json.loads(render.plugin_of(document)["configuration"]["value"])


@pytest.mark.parametrize("name", ["edge.yaml", "signer.yaml", "transparent.yaml"])
def test_what_is_shipped_is_valid(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.write_text(render.shipped(name))
    argv = [binary(), "--mode", "validate", "--disable-hot-restart", "-c", file]
    done = subprocess.run(argv, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_no_example_is_left(place: Place) -> None:
    edges = [rendered_edge(place, wiring=wiring) for wiring in render.FILES]
    text = json.dumps([*edges, render.signer(place)]).replace(S3_XML, "")
    for example in ("my-bucket", "files.example.com", "eu-west-1", "amazonaws", "/etc/mirror-on-miss"):
        assert example not in text


def test_edge_and_signer_hold_one_credential_each(place: Place) -> None:
    rendered_edge(place)
    render.signer(place)
    reader, writer = (place.secrets_dir / f"{who}.credentials" for who in ("reader", "writer"))
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
        "origin": {
            "cluster": "origin",
            "stream_cluster": "origin-streams",
            "authority": "old.example.net",
            "path_prefix": "/v1",
        },
        "stream": {"marker": "mirror-on-miss=stream"},
        "wait": "5s",
    }


def test_exposed_path_serves_the_bucket_under_its_name_and_nothing_else(place: Place) -> None:
    paths = routes(rendered_edge(place, plugin={"bucket": {"exposed": "path"}}))
    assert named(paths, "object")["match"] == {"prefix": "/shop.example/"}
    assert "prefix_rewrite" not in named(paths, "object")["route"]
    assert paths[-1]["direct_response"] == {"status": 404}


def test_the_transparent_wiring_tells_the_plugin_what_the_bucket_is_asked_whatever_clients_write(
    place: Place,
) -> None:
    for exposed, prefix in (("path", "/shop.example/"), ("root", "/")):
        document = rendered_edge(place, wiring="transparent", plugin={"bucket": {"exposed": exposed}})
        assert named(routes(document), "object")["match"] == {"prefix": prefix}
        assert plugin(document)["bucket"]["exposed"] == "path"
        assert plugin(document)["location"] == "absolute"


def test_both_wirings_refuse_the_same_and_send_the_origin_the_same(place: Place) -> None:
    """The common parts of the two files are written twice."""
    redirect, transparent = (rendered_edge(place, wiring=wiring) for wiring in render.FILES)
    assert redirect["stats_config"] == transparent["stats_config"]
    for name in ("http_protocol_options", "local_reply_config"):
        assert manager(redirect)[name] == manager(transparent)[name]
    for name in ("preflight", "read-only", "no-content", "no-dot-segments"):
        assert named(routes(redirect), name) == named(routes(transparent), name)
    for name in ("origin", "signer"):
        clusters = (named(edge["static_resources"]["clusters"], name) for edge in (redirect, transparent))
        assert next(clusters) == next(clusters)


@pytest.mark.parametrize("file", headers.PASSES)
def test_what_is_shipped_removes_what_the_table_does_not_list(file: str) -> None:
    document = yaml.safe_load((CHECKOUT / "envoy" / "configuration" / file).read_text())
    text = json.dumps(document["static_resources"]["clusters"])
    assert json.dumps(headers.expression(file)) in text


def test_an_expression_for_all_but_a_list_matches_every_other_name() -> None:
    listed = ["if", "if-match", "range", "x-a-*", "x-b"]
    expression = re.compile(headers.all_but(listed))
    for name in ["if", "if-match", "range", "x-a-", "x-a-b", "x-b", ":path", ":authority"]:
        assert not expression.fullmatch(name), name
    others = "i if- if-matches if-x rang ranges x x- x-a x-bc x-c a x_b"
    for name in others.split():
        assert expression.fullmatch(name), name


def test_merge_is_a_json_merge_patch() -> None:
    """The cases of RFC 7396, appendix A, that have an object as patch."""
    assert merge({"a": "b"}, {"a": "c"}) == {"a": "c"}
    assert merge({"a": "b"}, {"b": "c"}) == {"a": "b", "b": "c"}
    assert merge({"a": "b", "b": "c"}, {"a": None}) == {"b": "c"}
    assert merge({"a": ["b"]}, {"a": "c"}) == {"a": "c"}
    assert merge({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}) == {"a": {"b": "d"}}
    assert merge({"a": [{"b": "c"}]}, {"a": [1]}) == {"a": [1]}
    assert merge({}, {"a": {"bb": {"ccc": None}}}) == {"a": {"bb": {}}}
