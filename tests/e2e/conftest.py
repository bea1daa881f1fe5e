"""One origin and one stack per store for all tests of a worker; each test uses keys of its own."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from doubles import ScriptedOrigin, StrictBucket
from stack import SeaweedFS, Stack

from .site import Site, Wired, a_rule_for_everything, add_dead_cluster, running

Start = Callable[..., Site]
Unique = Callable[..., str]

WIRINGS = {"redirect": "", "transparent": "/mirror"}
"""What stands before a key in each."""


@pytest.fixture(scope="session")
def origin() -> Iterator[ScriptedOrigin]:
    with ScriptedOrigin() as origin:
        yield origin


@pytest.fixture(scope="session")
def strict(tmp_path_factory: pytest.TempPathFactory, origin: ScriptedOrigin) -> Iterator[Site]:
    """A stack on the strict bucket, with a rule for everything and one worker."""
    run_dir = tmp_path_factory.mktemp("strict")
    options = {"plugin": a_rule_for_everything(origin), "edit_edge": add_dead_cluster}
    with running(run_dir, origin, StrictBucket(), workers=1, **options) as site:
        yield site


@pytest.fixture(scope="session")
def transparent(tmp_path_factory: pytest.TempPathFactory, origin: ScriptedOrigin) -> Iterator[Site]:
    """The same in the transparent wiring."""
    run_dir = tmp_path_factory.mktemp("transparent")
    options = {"plugin": a_rule_for_everything(origin), "edit_edge": add_dead_cluster}
    with running(run_dir, origin, StrictBucket(), workers=1, wiring="transparent", **options) as site:
        yield site


@pytest.fixture(scope="module", params=WIRINGS)
def wiring(request: pytest.FixtureRequest) -> str:
    """Gives the names of both wirings in turn, for a module that runs a site in each."""
    return request.param


@pytest.fixture(params=WIRINGS)
def wired(request: pytest.FixtureRequest) -> Wired:
    """Gives both wirings on a strict bucket in turn."""
    if request.param == "redirect":
        return Wired(request.getfixturevalue("strict"), WIRINGS["redirect"])
    return Wired(request.getfixturevalue("transparent"), WIRINGS["transparent"])


@pytest.fixture(scope="session")
def seaweed(tmp_path_factory: pytest.TempPathFactory, origin: ScriptedOrigin) -> Iterator[Site]:
    """A stack on SeaweedFS, with the plugin's configuration as it is shipped and two workers."""
    run_dir = tmp_path_factory.mktemp("seaweed")
    with running(run_dir, origin, SeaweedFS(run_dir)) as site:
        yield site


@pytest.fixture(params=["strict", "seaweed"])
def site(request: pytest.FixtureRequest) -> Site:
    """Gives each stack in turn."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def start(tmp_path: Path, origin: ScriptedOrigin) -> Iterator[Start]:
    """Starts a stack of the test's own on a strict bucket, with options of `Stack`."""
    with ExitStack() as running:

        def start(**options: Any) -> Site:
            store = running.enter_context(StrictBucket())
            options = {"origin": origin.url, "workers": 1, **options}
            site = Site(running.enter_context(Stack(tmp_path, store=store, **options)), store, origin)
            running.callback(site.assert_module_healthy)
            return site

        yield start


@pytest.fixture
def unique() -> Unique:
    """Makes paths that no other test uses: `unique("a.jpg", under="/dead")`."""
    mark = uuid.uuid4().hex[:12]
    return lambda name="object.bin", under="": f"{under}/{mark}/{name}"
