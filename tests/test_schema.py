"""The shipped JSON Schema against the parser: both accept the same, as far as a schema can.

`mirror-on-miss check` asks the parser.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

CHECKOUT = Path(__file__).resolve().parents[1]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR") or CHECKOUT / "target")

SMALLEST = {
    "bucket": {"cluster": "signer", "authority": "s3.example.com", "path_prefix": "/my-bucket"},
    "origin": {"cluster": "origin", "authority": "files.example.com"},
}
TWO = {
    "bucket": SMALLEST["bucket"],
    "origins": {
        "a": SMALLEST["origin"],
        "b": {**SMALLEST["origin"], "public_url": "https://files.example.com"},
    },
    "rules": [{"origins": ["a"]}],
}

Put = tuple[dict[str, Any], str, Any]


def one(path: str, *values: Any) -> list[Put]:
    """Makes the smallest configuration with each of the values at a path."""
    return [(SMALLEST, path, value) for value in values]


def rule(path: str, *values: Any) -> list[Put]:
    """Makes the same, in its only rule."""
    return one(f"rules.0.{path}", *values)


GOOD = [
    (SMALLEST, "", None),
    (TWO, "", None),
    *one("bucket.path_prefix", "", "/", "/a/", "/a/b%20c", "/~user"),
    *one("bucket.authority", "a", "a:80", "[::1]:9000", "a_b.example.com", "10.0.0.1:1"),
    *one("bucket.exposed", "root", "path"),
    *one("bucket.storage_class", "STANDARD_IA"),
    *one("bucket.if_none_match", True, False, "x-oss-forbid-overwrite"),
    *one("bucket.put_headers", {}, {"x-amz-acl": "bucket-owner-full-control", "x-amz-tagging": "a=b&c=d"}),
    *one("bucket.index", "index.html"),
    *one("bucket.keys", "plain", "exact"),
    *one("bucket.deleted", "pass", "refill"),
    *one("origin.pin", "strong", "etag", "last_modified", "length"),
    *one("origin.http2", True, False),
    *one("origin.user_agent", "my-mirror/1.0 (ops@example.com)"),
    *one("origin.missing", [403, 404, 502], [{"status": 200, "content_type": "text/html"}, 302]),
    *one("origin.rate", "1000/s", "1/h", "60000/m"),
    *rule("private", "store", "skip"),
    *rule("guess_types", True, False),
    *one("origin.path_prefix", "/v1"),
    *one("origin.public_url", "http://a.example", "https://a.example:8443/b/"),
    *one("origin.timeout", "1ms", "1.5s", "10m", "0.25m"),
    *one("origin.headers", {}, {"x-a": "b c"}, {"authorization": {"env": "TOKEN"}}),
    *one("origin.parameters", {}, {"sv": "1", "sig": {"env": "TOKEN"}}, {"env": "TOKEN"}),
    *one("origin.redirects", {}, {"follow": 0}, {"follow": 3, "hosts": {"cdn.example.com:8080": "cdn"}}),
    *one("origin.redirects.others", "pass", "refuse"),
    *rule("prefix", "/", "/img", "/ä b"),
    *rule("suffixes", [".jpg"], [".jpg", "/"]),
    *rule("methods", ["GET"], ["HEAD", "GET"]),
    *rule("mirror", True, False),
    *rule("origins", ["origin"]),
    *one("rules", [{"prefix": "/img/", "strip_prefix": "/img"}]),
    *rule("add_prefix", "/", "/a/b/", "/a b"),
    *rule("query", ["v"]),
    *rule("request_headers", ["accept-language"]),
    *rule("content_types", ["image/*"], ["image/svg+xml", "IMAGE/PNG"]),
    *rule("cache_control", "no-cache"),
    *rule("metadata", ["*"], ["owner", "a.b-c"], {"x-ms-meta-owned_by": "owner"}),
    *rule("response", "redirect", "serve"),
    *rule("on_403", "check", "miss", "ignore"),
    *rule("on_head", "fill", "origin", "off"),
    *rule("too_large", "origin", "error"),
    *rule("on_wait", "origin", "busy"),
    *rule("on_5xx", "pass", "origin"),
    *rule("store", True, False),
    *rule("observe", True, False),
    *one("rules", [{}], [{"prefix": "/a", "mirror": False}, {}]),
    *one("location", "absolute", "https://cdn.example.com/a"),
    *one("wait", "1ms", "1h"),
    *one("failure_ttl", "0s", "1h"),
    *one("negative_ttl", "0s", "1h"),
    *one("loop_window", "0s", "5m"),
    *one("limits", {}),
    *one("limits.part_size", "5MiB", "32MiB", "5.5MiB"),
    *one("limits.parts_in_flight", 1, 16),
    *one("limits.min_rate", "1KiB", "1GiB"),
    *one("limits.memory", "1GiB", "6291456B"),
    *one("limits.fills", 1, 10_000),
    *one("limits.queue", 0, 100_000),
    *one("limits.waiters", 1, 1_000_000),
    *one("limits.max_object_size", "1B", "48.8TiB"),
    *one("limits.streams", 0, 10_000),
    *one("limits.streams_per_key", 0, 10_000),
    *one("origin.stream_cluster", "origin-streams"),
    *one("stream", {"marker": "mirror-on-miss=stream"}, {"marker": "a.b_c~d"}),
    (TWO, "rules", [{"mirror": False}, {"origins": ["b", "a"], "response": "origin"}]),
]

BAD = [
    *one("", {}, [], "text"),
    *one("colour", "blue"),
    *one("bucket", None, {}, {"cluster": "a"}, {"authority": "a"}),
    *one("bucket.cluster", "", 1, None),
    *one("bucket.authority", "", "http://a", "a/b", "user@a", "a b", 80),
    *one("bucket.path_prefix", "a", "/a b", "/../a", "/a/..", "/%zz", "/%c3", 1),
    *one("bucket.exposed", "both", None),
    *one("bucket.storage_class", "", "ä"),
    *one("bucket.if_none_match", None, "x-forbid-overwrite", "true"),
    *one("bucket.put_headers", [], {"x-amz-copy-source": "a"}, {"X-Amz-Acl": "a"}, {"x-amz-acl": ""}),
    *one("bucket.colour", "blue"),
    (SMALLEST, "bucket", {"cluster": "a", "authority": "b", "exposed": "path"}),
    (SMALLEST, "bucket", {"cluster": "a", "authority": "b", "exposed": "path", "path_prefix": "/"}),
    *one("origins", {"a": SMALLEST["origin"]}),
    (TWO, "origins", {}),
    (TWO, "origins.a.colour", "blue"),
    (TWO, "rules", [{}]),
    (TWO, "rules", [{"mirror": True}]),
    ({name: TWO[name] for name in ("bucket", "origins")}, "", None),
    ({"bucket": SMALLEST["bucket"]}, "", None),
    ({"origin": SMALLEST["origin"]}, "", None),
    *one(
        "origin.public_url",
        "",
        "a.example",
        "ftp://a.example/",
        "https://u:p@a.example",
        "https://a.example/?q",
    ),
    *one("origin.timeout", 10, "10", "10 s", "-1s", "1.2345s", ".5s", "1d"),
    *one("origin.headers", [], {"Range": "a"}, {"range": "a"}, {"X-A": "b"}, {"x-a": ""}, {"x-a": "b\r\nc"}),
    *one("origin.headers.x-a", {"env": 1}, {}, {"env": "A", "else": "b"}, ["b"]),
    *one("origin.parameters", [], "sig=a", {"": "a"}, {"a": ""}, {"a": 1}, {"a": {"env": "A", "else": "b"}}),
    *one(
        "origin.missing", [], 404, [200], [503], ["404"], [{"status": 404}], [{"content_type": "text/html"}]
    ),
    *one(
        "origin.missing",
        [{"status": 206, "content_type": "text/html"}],
        [{"status": 200, "content_type": "html"}],
    ),
    *one("origin.redirects.others", "follow", None),
    *one("origin.rate", 5, "5", "5/d", "-1/s", "1.5/s", "/s"),
    *rule("private", "pass"),
    *one("origin.redirects.follow", 4, -1, "3"),
    *one("origin.redirects.hosts", {"http://a": "b"}, {"a": ""}, {"": "b"}),
    *one("rules", [], {}, ["a"]),
    *rule("prefix", "img/", ""),
    *rule("suffixes", [], ".jpg", [""]),
    *rule("methods", [], ["PUT"], ["get"]),
    *rule("mirror", "false", 0),
    *one("rules", [{"mirror": False, "on_403": "miss"}], [{"mirror": False, "colour": "blue"}]),
    *rule("origins", [], "origin", [1]),
    *rule("strip_prefix", "a", "", "/../a"),
    *rule("add_prefix", "a", "", "/../a", "/a/.", "/a\u0000"),
    *rule("query", [], [""], "v"),
    *rule(
        "request_headers",
        ["cookie"],
        ["authorization"],
        ["x-envoy-a"],
        ["x-forwarded-for"],
        ["Accept"],
        ["range"],
    ),
    *rule("content_types", ["image"], ["image/"], ["image/png; q=1"], ["*/*"], []),
    *rule("cache_control", "", "a\nb"),
    *rule(
        "metadata",
        [],
        {},
        "*",
        ["A"],
        ["a_b"],
        ["mirror-a"],
        ["snowball-auto-extract"],
        {"x-a": "*"},
        {"X": "a"},
    ),
    *rule("response", "proxy"),
    *rule("on_403", "maybe"),
    *rule("on_head", "maybe"),
    *rule("too_large", "maybe"),
    *rule("on_wait", "maybe"),
    *rule("on_5xx", "serve"),
    *rule("store", "no"),
    *rule("observe", 1),
    *one("location", "", "/cdn", "relative", "https://u:p@a.example/", None),
    *one("wait", 25, "soon", ""),
    *one("limits", []),
    *one("limits.part_size", "8", "8MB", "8 MiB", 8),
    *one("limits.parts_in_flight", 0, 17, 1.5, "3"),
    *one("limits.fills", 0, 10_001),
    *one("limits.queue", -1, 100_001),
    *one("limits.waiters", 0, 1_000_001),
    *one("limits.colour", "blue"),
    *one("limits.streams", -1, 10_001, "3"),
    *one("limits.streams_per_key", -1, 10_001, "3"),
    *one("origin.stream_cluster", ""),
    *one("stream", {}, [], {"marker": ""}, {"marker": "a&b"}, {"marker": "a?"}, {"marker": "a%20b"}),
]

ONLY_THE_PARSER_KNOWS = {
    "bounds of sizes and times": [
        *one("wait", "0s", "2h"),
        *one("origin.timeout", "11m", "0ms"),
        *one("limits.part_size", "4MiB", "33MiB"),
        *one("limits.max_object_size", "0B", "49TiB"),
    ],
    "that whole numbers have no decimals": one("limits.fills", 3.0),
    "that memory holds a part": one("limits.memory", "5MiB"),
    "names of origins": [*rule("origins", ["nobody"]), (TWO, "rules", [{"origins": ["c"]}])],
    "what the prefix begins with": rule("strip_prefix", "/img"),
    "that an origin has a public_url": rule("response", "origin"),
    "secrets that exist": one("origin.headers", {"x-a": {"env": "NOT_SET"}}),
    "ports, and hosts in every detail": one("bucket.authority", "a:99999", "[::1"),
    "the encoding of paths in every detail": one("bucket.path_prefix", "/%41", "/%C3", "//"),
    "the longest key": rule("add_prefix", "/" + "a" * 8001),
}


@pytest.fixture(scope="session")
def validator() -> Draft202012Validator:
    schema = json.loads((CHECKOUT / "docs" / "configuration.schema.json").read_text())
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


@pytest.fixture(scope="session")
def command() -> Path:
    build = ["cargo", "build", "--locked", "--quiet", "--bin", "mirror-on-miss"]
    subprocess.run(build, cwd=CHECKOUT, check=True)
    return TARGET / "debug" / "mirror-on-miss"


def test_what_is_right_is_right_to_both(validator: Draft202012Validator, command: Path) -> None:
    wrong = [
        (text, errors, said) for text, errors, said in judged(GOOD, validator, command) if errors or said
    ]
    assert not wrong


def test_what_is_wrong_is_wrong_to_both(validator: Draft202012Validator, command: Path) -> None:
    right = [
        (text, errors, said)
        for text, errors, said in judged(BAD, validator, command)
        if not (errors and said)
    ]
    assert not right


@pytest.mark.parametrize("what", ONLY_THE_PARSER_KNOWS)
def test_a_schema_cannot_say(what: str, validator: Draft202012Validator, command: Path) -> None:
    for text, errors, said in judged(ONLY_THE_PARSER_KNOWS[what], validator, command):
        assert said and not errors, text


def test_every_field_has_a_good_value(validator: Draft202012Validator) -> None:
    """A field that is missing above fails here: the schema and this table must name the same ones."""
    fields = set(names(validator.schema))
    tried = {name for config, path, value in GOOD for name in words(put(config, path, value))}
    assert fields - tried == set()


def judged(
    table: list[Put], validator: Draft202012Validator, command: Path
) -> list[tuple[str, list[str], list[str]]]:
    """Returns each configuration, the schema's objections to it, and the parser's."""
    result = []
    for config, path, value in table:
        changed = put(config, path, value)
        text = json.dumps(changed)
        errors = [error.message for error in validator.iter_errors(changed)]
        environment = {**os.environ, "TOKEN": "t"}
        ended = subprocess.run(
            [command, "check", "-"], input=text, capture_output=True, text=True, env=environment, timeout=60
        )
        assert ended.returncode in (0, 1), ended.stderr
        result.append((text, errors, [] if ended.returncode == 0 else ended.stdout.splitlines()))
    return result


def put(config: Any, path: str, value: Any) -> Any:
    """Returns a copy with a value at a path of names and indices; for no path the value itself, if there is
    one.
    """
    if not path:
        return config if value is None else value
    changed = deepcopy(config)
    place: Any = changed
    parts = re.split(r"\.", path)
    for number, part in enumerate(parts[:-1]):
        if isinstance(place, list):
            place = place[int(part)]
        else:
            place = place.setdefault(part, [{}] if parts[number + 1] == "0" else {})
    place[parts[-1]] = value
    return changed


def names(schema: Any) -> list[str]:
    """Names the fields that a schema knows."""
    if isinstance(schema, list):
        return [name for part in schema for name in names(part)]
    if not isinstance(schema, dict):
        return []
    properties = schema.get("properties", {})
    return [*properties, *(name for part in schema.values() for name in names(part))]


def words(config: Any) -> list[str]:
    """Names the fields that a configuration has."""
    if isinstance(config, list):
        return [name for part in config for name in words(part)]
    if not isinstance(config, dict):
        return []
    return [*config, *(name for part in config.values() for name in words(part))]
