"""Verdicts, settings and surprises, from cells that no server had to give."""

from __future__ import annotations

from .checks import CHECKS
from .facts import QUESTIONS
from .verdict import COMPLETE, ESSENTIAL, PUT, YES, joined, losses, settings, surprises, verdict

RIGHT = {name: YES for name in (*QUESTIONS, *CHECKS)}


def test_a_store_that_does_all_will_do() -> None:
    assert verdict(RIGHT) == "will do"
    assert not losses(RIGHT)
    assert settings(RIGHT).plugin() == {}


def test_a_store_that_ignores_one_condition_will_do_with_a_setting() -> None:
    for ignored in (PUT, COMPLETE):
        cells = {**RIGHT, ignored: "ignored: 200, and the object is overwritten"}
        assert verdict(cells) == "will do with these settings: IF_NONE_MATCH=false"
        assert settings(cells).plugin() == {"bucket": {"if_none_match": False}}


def test_settings_that_the_run_was_given_are_a_part_of_the_verdict() -> None:
    assert verdict(RIGHT, ["STORE_KIND=oss"]) == "will do with these settings: STORE_KIND=oss"


def test_a_store_that_loses_an_object_will_not_do_and_the_verdict_says_why() -> None:
    for name in ESSENTIAL:
        assert verdict({**RIGHT, name: "a GET is 500"}) == f"will not do because {name}: a GET is 500"


def test_what_is_not_essential_is_a_loss_alone() -> None:
    cells = {**RIGHT, "parts by number": "200 with 9 bytes"}
    assert verdict(cells) == "will do"
    assert losses(cells) == ["parts by number: 200 with 9 bytes"]


def test_what_was_not_tried_is_no_fault() -> None:
    cells = {name: "- no such identity here" for name in RIGHT}
    assert not losses(cells)
    assert not surprises(cells, {})
    assert settings({**RIGHT, **cells}).virtual is None


def test_every_essential_check_is_there() -> None:
    assert set(ESSENTIAL) <= set(CHECKS)
    assert not set(QUESTIONS) & set(CHECKS)


def test_a_fault_without_an_explanation_is_a_surprise_and_so_is_an_explanation_without_a_fault() -> None:
    cells = {**RIGHT, "ranges": "`bytes=5-9` is 200"}
    assert surprises(cells, {}) == ["ranges: `bytes=5-9` is 200"]
    assert surprises(cells, {"ranges": "it answers 200"}) == []
    (gone,) = surprises(RIGHT, {"ranges": "it answers 200"})
    assert gone.startswith("ranges: is right now")


def test_a_cell_names_the_wiring_only_where_the_two_differ() -> None:
    assert joined({"redirect": YES, "transparent": YES}) == YES
    assert joined({"redirect": "500", "transparent": "500"}) == "500"
    assert joined({"redirect": YES, "transparent": "500"}) == "transparent: 500"
