"""The lines of `make run`: what they say of a fill and of an answer, and their colours."""

from __future__ import annotations

import io
import json

import pytest

from .__main__ import _Lesson
from .terminal import GREEN, PLAIN, RED, YELLOW, Line, colours, fill_line, request_line

PREFIX = "[2026-11-25 18:26:48.488][4519][info][wasm] wasm log mirror_on_miss mirror_on_miss: "


def fill(outcome: str, detail: str = "", parts: int = 1) -> str:
    return (
        f'{PREFIX}fill key=/a.jpg outcome={outcome} detail="{detail}" origin="origin" bytes=48211 '
        f'parts={parts} ms=1023 waiters=1 request_id="b6532f82"'
    )


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        (fill("stored"), Line("fill: /a.jpg stored, 48,211 bytes in 1,023 ms", YELLOW)),
        (fill("stored", parts=3), Line("fill: /a.jpg stored, 48,211 bytes in 3 parts in 1,023 ms", YELLOW)),
        (
            fill("not_stored", 'PUT: \\"403\\"'),
            Line('fill: /a.jpg not_stored after 1,023 ms: PUT: \\"403\\"', RED),
        ),
        (fill("served"), Line("fill: /a.jpg served and not stored, in 1,023 ms", YELLOW)),
        (fill("not_found"), Line("fill: /a.jpg not_found after 1,023 ms", RED)),
        (f"{PREFIX}fill key=/a.jpg stored=5 of=9", None),
        (f"{PREFIX}observed key=/a.jpg", None),
    ],
)
def test_a_fill_has_its_size_its_time_and_the_reason_of_its_failure(log: str, expected: Line | None) -> None:
    assert fill_line(log) == expected


@pytest.mark.parametrize(
    ("status", "outcome", "expected"),
    [
        (200, "", Line("edge: 200 /a.jpg, 1,812 bytes in 3 ms", GREEN)),
        (302, "stored", Line("edge: 302 stored /a.jpg in 3 ms", YELLOW)),
        (404, "not_found", Line("edge: 404 not_found /a.jpg in 3 ms", YELLOW)),
        (502, "origin_refused", Line("edge: 502 origin_refused /a.jpg in 3 ms", RED)),
    ],
)
def test_an_answer_has_its_time_and_an_object_its_size(status: int, outcome: str, expected: Line) -> None:
    entry = {"method": "GET", "path": "/a.jpg", "status": status, "outcome": outcome, "bytes": 1812, "ms": 3}
    assert request_line(json.dumps(entry)) == expected


def test_the_bucket_has_its_first_object_when_one_is_stored(capsys: pytest.CaptureFixture[str]) -> None:
    lesson = _Lesson("http://127.0.0.1:10000", sample=True)
    for outcome in ("served", "private", "origin", "not_stored"):
        lesson.after(fill(outcome))
    assert not capsys.readouterr().out
    lesson.after(fill("stored"))
    assert "The bucket has its first object." in capsys.readouterr().out


def test_only_a_terminal_is_coloured_unless_it_says_no(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.delenv("NO_COLOR", raising=False)
    assert [colours(Terminal()), colours(io.StringIO())] == [True, False]
    monkeypatch.setenv("NO_COLOR", "1")
    assert not colours(Terminal())
    line = Line("text", RED)
    assert [line.shown(True), line.shown(False)] == [f"{RED}text{PLAIN}", "text"]
