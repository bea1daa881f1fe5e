"""A row of the gallery as settings of the plugin, and as scripts of an origin."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from doubles.replies import Reply, Script, Then
from doubles.scripted_origin import ScriptedOrigin
from doubles.wire import Request

TABLE = Path(__file__).with_name("origins.json")
SIZE = 2048
"""Bytes of an object whose row gives no size."""


@dataclass
class Row:
    """One origin's behaviour, and what is made of it."""

    row: dict[str, Any]
    authority: str = ""
    """The authority of the origin that plays it."""
    used: dict[int, int] = field(default_factory=dict)
    """The times that each answer was given."""

    @cached_property
    def slug(self) -> str:
        """Returns the row's name in paths."""
        return "-".join(re.findall("[a-z0-9]+", self.row["name"].lower()))

    @property
    def path(self) -> str:
        return f"/{self.slug}/{self.row.get('key', 'object.bin')}"

    @property
    def method(self) -> str:
        return self.row.get("method", "GET")

    @property
    def origins(self) -> list[dict[str, Any]]:
        return self.row.get("origins", [{}])

    def object(self, version: int = 1) -> bytes:
        """Makes the bytes of a version, each of which shows where it belongs."""
        size = self.row.get("size", SIZE)
        pattern = bytes((byte + version - 1) % 251 for byte in range(251))
        return (pattern * (size // 251 + 1))[:size]

    def filled_in(self, value: str) -> str:
        known = {"dir": f"/at-0/{self.slug}", "slug": self.slug, "authority": self.authority}
        for name, text in known.items():
            value = value.replace(f"{{{name}}}", text)
        return value

    def settings(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Returns the row's origins, and the rule for its keys."""
        named = {
            f"{self.slug}-{index}": {
                "cluster": "origin",
                "authority": self.authority,
                "path_prefix": f"/at-{index}",
                **settings,
            }
            for index, settings in enumerate(self.origins)
        }
        return named, {"prefix": f"/{self.slug}/", "origins": list(named), **self.row.get("rule", {})}

    def is_played_by(self, origin: ScriptedOrigin) -> None:
        """Has an origin answer as the row says."""
        names = {answer.get("path") or self.row.get("key", "object.bin") for answer in self.row["answers"]}
        for at in ("at-0", "at-1", "cdn"):
            for name in names:
                origin.script(f"/{at}/{self.slug}/{as_sent(name)}", self._script(at, name))

    def asked(self, origin: ScriptedOrigin) -> int:
        return len(origin.requests.matching(lambda request: f"/{self.slug}/" in request.path))

    def _script(self, at: str, name: str) -> Script:
        def script(request: Request) -> Reply:
            for index, answer in enumerate(self.row["answers"]):
                if self._is_for(answer, at, name, request, self.used.get(index, 0)):
                    self.used[index] = self.used.get(index, 0) + 1
                    return self._reply(answer, request)
            raise AssertionError(f"{self.slug}: no answer to {request.line}")

        return script

    def _is_for(self, answer: dict[str, Any], at: str, name: str, request: Request, used: int) -> bool:
        own = answer.get("at", 0)
        place = own if isinstance(own, str) else f"at-{own}"
        key = answer.get("path") or self.row.get("key", "object.bin")
        conditions = ("if-match", "if-unmodified-since")
        is_when = {
            None: True,
            "agent": (request.header("user-agent") or "").startswith("mirror-on-miss/"),
            "conditional": any(request.header(name) for name in conditions),
            "first": (request.header("range") or "").startswith("bytes=0-"),
            "ranged": request.header("range") is not None,
        }[answer.get("when")]
        return place == at and key == name and is_when and used < answer.get("times", used + 1)

    def _reply(self, answer: dict[str, Any], request: Request) -> Reply:
        failure = answer.get("fail")
        if failure in ("reset", "silence"):
            return Reply(b"", Then.RESET if failure == "reset" else Then.STALL)
        if failure == "cut":
            head = written(200, [("Content-Length", str(len(self.object())))])
            return Reply(head + self.object()[:100], Then.RESET)
        code, headers, body = self._content(answer, request)
        framing = answer.get("framing")
        if framing is None:
            headers.append(("Content-Length", str(len(body))))
        elif framing == "chunked":
            headers.append(("Transfer-Encoding", "chunked"))
            body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        else:
            headers.append(("Connection", "close"))
        head = written(code, headers)
        data = head if request.method == "HEAD" or code in (204, 304) else head + body
        return Reply(data, Then.CLOSE if framing == "close" else Then.KEEP, answer.get("takes_ms", 0) / 1000)

    def _content(self, answer: dict[str, Any], request: Request) -> tuple[int, list[tuple[str, str]], bytes]:
        headers = []
        for name, values in answer.get("headers", {}).items():
            for value in values if isinstance(values, list) else [values]:
                headers.append((name, self.filled_in(value)))
        body = self.object(answer.get("version", 1))
        if "status" in answer:
            text = answer.get("text")
            return answer["status"], headers, text.encode() if text else body[: answer.get("bytes", 0)]
        if request.header("if-match") not in (None, dict(headers).get("ETag")):
            return 412, [], b""
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", request.header("range") or "")
        if asked is None or answer["serve"] != "ranges":
            return 200, headers, body
        if not body:
            return 416, [("Content-Range", "bytes */0")], b""
        first = int(asked[1])
        end = min(len(body), int(asked[2]) + 1, first + answer.get("cap", len(body)))
        return 206, [*headers, ("Content-Range", f"bytes {first}-{end - 1}/{len(body)}")], body[first:end]


def rows() -> list[Row]:
    groups = json.loads(TABLE.read_text(encoding="utf-8"))
    return [Row(row) for group in groups for row in group["rows"]]


def as_sent(name: str) -> str:
    """Returns a name as the origin gets it: a plus sign may be a space to it."""
    return name.replace("+", "%2B")


def written(code: int, headers: list[tuple[str, str]]) -> bytes:
    fields = "".join(f"{name}: {value}\r\n" for name, value in headers)
    return f"HTTP/1.1 {code} Said\r\n{fields}\r\n".encode("latin-1")
