"""git, wget and curl as this machine has them, in each setup of `make clients`, which has many more."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from clients.catalogue import CLIENTS
from clients.tools import TOOLS, failure_of
from clients.trial import SETUPS, Endpoint

REPEATS = "redirect"
"""The setup whose `Location` is the URL that was asked for."""


@pytest.fixture(scope="module", params=SETUPS, ids=lambda setup: setup.name)
def endpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    with Endpoint(request.param, tmp_path_factory.mktemp("tools")) as endpoint:
        yield endpoint


def named(name: str) -> int:
    return next(number for number, tool in enumerate(TOOLS) if tool.name == name)


@pytest.mark.parametrize("name", ["git, dumb HTTP", "git, `http.followRedirects=true`", "wget `-r`"])
def test_tools_read_cold_repositories_and_sites(endpoint: Endpoint, tmp_path: Path, name: str) -> None:
    failure = failure_of(TOOLS[named(name)], endpoint, tmp_path / "tool")
    # git follows its first request only, unless told. wget takes the same URL for a page that it has.
    refuses = {"git, dumb HTTP": ("redirect", "distinct"), "wget `-r`": (REPEATS,)}
    assert bool(failure) == (endpoint.setup in refuses.get(name, ())), failure


@pytest.mark.parametrize("name", ["curl `-L`", "wget"])
def test_downloaders_read_cold_keys(endpoint: Endpoint, name: str) -> None:
    (client,) = (each for each in CLIENTS if each.name == name)
    for operation in client.operations:
        result = endpoint.tries(client, operation)
        assert result.right, result
        assert result.redirects == (0 if endpoint.setup in ("transparent", "serve") else 1)
