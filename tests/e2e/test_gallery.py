"""The gallery of origins through the real Envoy: see `tests/gallery/origins.json`."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import unquote

import pytest

from doubles import ScriptedOrigin, StrictBucket
from gallery.origin import Row, rows
from stack.children import free_ports

from .site import Site, add_dead_cluster, running
from .test_origins import add_http2_origin

ROWS = rows()


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory, origin: ScriptedOrigin) -> Iterator[Site]:
    """A site with an origin and a rule for each row."""
    (port,) = free_ports(1)
    origins, rules = {}, []
    for row in ROWS:
        row.authority = origin.authority
        named, rule = row.settings()
        origins.update(named)
        rules.append(rule)

    def edit(edge: dict) -> None:
        add_dead_cluster(edge)
        add_http2_origin(edge, port)

    options = {"plugin": {"origin": None, "origins": origins, "rules": rules}, "edit_edge": edit}
    with running(tmp_path_factory.mktemp("gallery"), origin, StrictBucket(), workers=1, **options) as site:
        yield site


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.slug)
def test_each_origin_of_the_gallery_is_read_as_its_row_says(gallery: Site, row: Row) -> None:
    row.is_played_by(gallery.origin)
    told = row.row
    for _ in range(2 if told.get("twice") else 1):
        answer = gallery.ask(row.path, row.method)
    assert (answer.status, answer.outcome) == (told["client"]["status"], told["client"]["outcome"])
    for name, value in told["client"].get("headers", {}).items():
        assert answer.header(name) == row.filled_in(value)
    if answer.status == 200 and row.method == "GET":
        assert answer.body == row.object()
    status, headers, body = gallery.store.get(unquote(row.path[1:]))
    if told["stored"]:
        assert status == 200
        assert body == row.object(int(told["stored"]))
        stored = {name.lower(): value for name, value in headers.items()}
        for name, value in told.get("stored_headers", {}).items():
            assert stored.get(name) == value, name
    else:
        assert status == 404
    if told["asked"] is not None:
        assert row.asked(gallery.origin) == told["asked"]
