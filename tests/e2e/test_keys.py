"""One key in all its spellings: the origin, the signature, the store and the client agree on it."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from urllib.parse import quote, unquote_to_bytes

import pytest

from .conftest import Start, Unique
from .site import Site

BODY = b"an object with an odd name\n"


@dataclass(frozen=True)
class Name:
    """A name as a client may write it, and its canonical encoding."""

    written: str
    canonical: str

    @property
    def key(self) -> str:
        return unquote_to_bytes(self.canonical).decode()


HOSTILE = [
    Name("plain.txt", "plain.txt"),
    Name("with%20space.txt", "with%20space.txt"),
    Name("%20leading%20and%20trailing%20", "%20leading%20and%20trailing%20"),
    Name("a+b", "a%2Bb"),
    Name("a%2Bb", "a%2Bb"),
    Name("a%2bb", "a%2Bb"),
    Name("dir%2Ffile", "dir/file"),
    Name("a%252Fb", "a%252Fb"),
    Name("100%25", "100%25"),
    Name("100%2525", "100%2525"),
    Name("it's", "it%27s"),
    Name("%22quoted%22", "%22quoted%22"),
    Name('"quoted"', "%22quoted%22"),
    Name("%3Ctag%3E", "%3Ctag%3E"),
    Name("%C3%A4%E2%82%AC.txt", "%C3%A4%E2%82%AC.txt"),
    Name("%c3%a4%e2%82%ac.txt", "%C3%A4%E2%82%AC.txt"),
    Name("a%CC%88", "a%CC%88"),
    Name("%F0%9F%AA%9E", "%F0%9F%AA%9E"),
    Name("a..b", "a..b"),
    Name("...", "..."),
    Name(".hidden", ".hidden"),
    Name("%2ehidden", ".hidden"),
    Name("dot.", "dot."),
    Name("~", "~"),
    Name("%7E", "~"),
    Name("@:;", "%40%3A%3B"),
    Name("&=$,", "%26%3D%24%2C"),
    Name("*()!", "%2A%28%29%21"),
    Name("%23hash", "%23hash"),
    Name("%3Fquestion", "%3Fquestion"),
    Name("[a]{b}|^`", "%5Ba%5D%7Bb%7D%7C%5E%60"),
    Name("%41%62", "Ab"),
]


@pytest.mark.parametrize("name", HOSTILE, ids=lambda name: ascii(name.written))
def test_a_hostile_name_is_one_key_for_everybody(site: Site, unique: Unique, name: Name) -> None:
    folder = unique("")
    written, canonical = folder + name.written, folder + name.canonical
    asked = folder + at_the_origin(name.canonical)
    site.origin.put(asked, BODY, {"Content-Type": "text/plain"})

    miss = site.ask(written)
    assert (miss.status, miss.outcome, miss.header("location")) == (302, "stored", canonical)
    for spelling in (written, canonical):
        hit = site.ask(spelling)
        assert (hit.status, hit.body, hit.header("content-type")) == (200, BODY, "text/plain")
    assert site.origin.count(asked) == 1
    assert site.stored(folder + name.key) == BODY


@pytest.mark.parametrize("character", ["k", "ä", "€"])
def test_a_key_of_1024_bytes_is_mirrored(site: Site, unique: Unique, character: str) -> None:
    """The key has segments, because SeaweedFS makes a segment a file name, of 255 bytes at most."""
    segment = character * (150 // len(character.encode())) + "/"
    key = unique("")[1:]
    while len((key + segment).encode()) < 1024:
        key += segment
    key += "x" * (1024 - len(key.encode()))
    path = "/" + quote(key)
    site.origin.put(path, BODY)
    assert site.follow(site.ask(path)).body == BODY
    assert site.stored(f"/{key}") == BODY


DOT_SEGMENTS = [
    "../up",
    "a/../b",
    "a/..",
    "a/.",
    "a/%2e%2e/b",
    "a/.%2E/b",
    "a/%2e/b",
    "a%2F..%2Fb",
    "a%2f%2e%2e%2fb",
    "a/..%5Cb",
    "a%5c..%5cb",
    "a\\..\\b",
    "..",
    "%2e%2e",
]


@pytest.mark.parametrize("name", DOT_SEGMENTS)
def test_dot_segments_reach_nobody(site: Site, unique: Unique, name: str) -> None:
    folder = unique("")
    answer = site.ask(folder + name)
    assert (answer.status, answer.outcome) == (400, None)
    assert b"<Code>InvalidURI</Code>" in answer.body
    mark = folder.strip("/")
    assert site.origin.requests.matching(lambda request: mark in request.line) == []


NO_KEYS = [
    b"%00",
    b"%1B",
    b"%C0%AF",
    b"%C3",
    b"%ED%A0%80",
    b"%FF",
    b"..;/b",
    b"100%",
    b"a%0Ab",
    b"a%0d%0ab",
    b"a%2",
    b"a%7Fb",
    b"a%zz",
    b"a/%2E.%3Bx=1/b",
    "\u00e4".encode(),
]


@pytest.mark.parametrize("name", NO_KEYS)
def test_what_is_no_key_is_never_mirrored(site: Site, unique: Unique, name: bytes) -> None:
    """The answer is the bucket's, or Envoy's own; the filter has no part in it."""
    folder = unique("")
    answer = site.ask(folder.encode() + name)
    assert (answer.status // 100, answer.outcome) == (4, None)
    assert "location" not in answer.names
    mark = folder.strip("/")
    assert site.origin.requests.matching(lambda request: mark in request.line) == []


PIECES = [
    *("a", "b", "/", "//", "%2F", "%2f", "%5C", "\\", ".", "..", "%2e", "%2E", "+", "%2B", "%20", "%25", "%"),
    *("%C3%A4", "%c3%a4", "%C3", "%FF", "%00", "%0d%0a", "%7F", "%E2%80%AE", "~", "@", ":", "'", '"', "*"),
    *("(", "[", "&", "=", ";", ",", "!", "$", "^", "|", "`", "{", "<", ">"),
]


def test_whatever_is_mirrored_is_mirrored_under_the_key_that_another_decoder_reads(
    start: Start, unique: Unique
) -> None:
    strict = start(plugin={"bucket": {"keys": "exact"}})
    folder, pick = unique("")[:-1], random.Random(1)
    for number in range(400):
        written = f"{folder}/{number}/" + "".join(pick.choices(PIECES, k=pick.randrange(1, 8)))
        canonical = canonical_path(written)
        if canonical:
            strict.origin.put(at_the_origin(canonical), BODY)
        answer = strict.ask(written)
        expected = (302, "stored", canonical) if canonical else (answer.status, None, None)
        assert (answer.status, answer.outcome, answer.header("location")) == expected, written
        assert not canonical or strict.ask(canonical).body == BODY, written
    asked = strict.origin.requests.matching(lambda request: request.path.startswith(folder))
    read = {canonical_path(request.path) for request in asked}
    assert {request.path for request in asked} == {at_the_origin(path) for path in read if path}


def at_the_origin(canonical: str) -> str:
    """Returns a path as origins get it: with the characters of RFC 3986, 3.3 as they are, but for `+`."""
    return quote(unquote_to_bytes(canonical), safe="/-._~!$&'()*,;=:@")


def canonical_path(written: str) -> str | None:
    """Returns the filter's expected path, by the standard library; None if the path is no key."""
    key = unquote_to_bytes(written[1:])
    text = key.decode("utf-8", "replace")
    lone_percent = re.search("%(?![0-9A-Fa-f]{2})", written)
    dot_segment = {".", ".."} & set(re.split(r"[/\\]", text))
    control = any(ord(character) < 32 or ord(character) == 127 for character in text)
    no_key = lone_percent or dot_segment or control or text.encode() != key
    return None if no_key else "/" + quote(key, safe="/-._~")
