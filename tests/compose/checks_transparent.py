"""Checks where the edge is the transparent one: clients ask as S3's do, and never see a redirect."""

from __future__ import annotations

from .checks import container, eventually, get


def test_it_becomes_healthy() -> None:
    for service in ("edge", "signer"):
        eventually(lambda service=service: container(service)["State"]["Health"]["Status"] == "healthy")


def test_the_first_request_gets_the_object_that_it_fills() -> None:
    first, second = get("/mirror/img/city.svg"), get("/mirror/img/city.svg")
    assert (first.status, first.header("content-type")) == (200, "image/svg+xml")
    assert (second.status, second.body) == (200, first.body)


def test_what_the_origin_does_not_have_is_missing() -> None:
    assert get("/mirror/img/nowhere.svg").status == 404
