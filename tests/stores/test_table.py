"""The page is what was measured, and each fault in it is explained."""

from __future__ import annotations

import pytest

from stack.kinds import kinds

from . import checks, facts, table
from .servers import SERVERS
from .verdict import settings, surprises

ROWS = {
    "good": table.Row("Good", "good", "1.2", {"a": "yes", "b": "yes"}),
    "bad": table.Row("Bad", "bad", "3", {"a": "500", "b": "- not here"}),
}


def test_the_page_has_the_last_run_of_each_server() -> None:
    text = table.PAGE.read_text()
    assert table.page(text, table.load(), table.explained()) == text, "make stores writes it"


def test_every_fault_on_the_page_is_explained_and_nothing_else() -> None:
    explained = table.explained()
    for name, row in table.load().items():
        assert surprises(row.cells, explained.get(name, {})) == [], row.title


def test_every_server_has_a_row_with_every_question() -> None:
    rows = table.load()
    assert list(rows) == [server.name for server in SERVERS]
    for row in rows.values():
        assert list(row.cells) == [*facts.QUESTIONS, *checks.CHECKS], row.title


def test_the_kind_of_each_store_has_the_settings_that_were_measured() -> None:
    for row in table.load().values():
        kind = kinds()[row.kind]
        measured = "true" if settings(row.cells).if_none_match else "false"
        assert (kind.if_none_match, kind.addressing_style) == (measured, "path"), row.title


def test_a_fault_points_to_its_reason_and_equal_reasons_are_one() -> None:
    why = {"bad": {"a": "it is old"}}
    rows = {**ROWS, "worse": table.Row("Worse", "worse", "4", {"a": "it is old", "b": "yes"})}
    assert list(table.of_checks(rows, why)) == [
        "| | Good | Bad | Worse |",
        "| --- | --- | --- | --- |",
        "| a | yes | no (1) | no (1) |",
        "| b | yes | – | yes |",
        "",
        "1. it is old",
    ]


def test_a_page_without_a_server_s_run_keeps_the_rest_of_its_text() -> None:
    text = (
        "before\n<!-- settings: make stores -->\n<!-- end -->\n"
        "between\n<!-- checks: make stores -->\nold\n<!-- end -->\nafter"
    )
    page = table.page(text, {"good": ROWS["good"]}, {})
    assert page.startswith("before\n<!-- settings: make stores -->\n| store |")
    assert "\nbetween\n<!-- checks: make stores -->\n| | Good |" in page
    assert page.endswith("| b | yes |\n\n<!-- end -->\nafter")


def test_a_page_without_its_marks_is_an_error() -> None:
    with pytest.raises(ValueError, match="settings"):
        table.page("no marks", ROWS, {})


def test_a_terminal_shows_faults_and_the_verdict_below_them() -> None:
    cells = ROWS["bad"].cells
    assert list(table.of_one("Bad 3", cells)) == ["Bad 3", "  a  no: 500", "  b  - not here"]
    assert list(table.conclusion("Bad 3", cells)) == [
        "does not decide: a: 500",
        "verdict: Bad 3 will do with these settings: IF_NONE_MATCH=false",
    ]
