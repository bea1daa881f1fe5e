"""One origin and one stack per store for all tests of a worker; each test uses keys of its own."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Callable

import pytest

from doubles import ScriptedOrigin, StrictBucket
from stack import SeaweedFS, Stack

from .site import Site, start_on_strict_bucket

Unique = Callable[..., str]


@pytest.fixture(scope="session")
def origin() -> Iterator[ScriptedOrigin]:
    with ScriptedOrigin() as origin:
        yield origin


@pytest.fixture(scope="session")
def strict(tmp_path_factory: pytest.TempPathFactory, origin: ScriptedOrigin) -> Iterator[Site]:
    """A stack on the strict bucket, with a rule for everything and one worker."""
    run_dir = tmp_path_factory.mktemp("strict")
    with StrictBucket() as store, start_on_strict_bucket(run_dir, store, origin) as stack:
        site = Site(stack, store, origin)
        yield site
        site.assert_module_healthy()


@pytest.fixture(scope="session")
def seaweed(tmp_path_factory: pytest.TempPathFactory, origin: ScriptedOrigin) -> Iterator[Site]:
    """A stack on SeaweedFS, with the plugin's configuration as it is shipped and two workers."""
    run_dir = tmp_path_factory.mktemp("seaweed")
    with SeaweedFS(run_dir) as store, Stack(run_dir, origin=origin.url, store=store) as stack:
        site = Site(stack, store, origin)
        yield site
        site.assert_module_healthy()


@pytest.fixture(params=["strict", "seaweed"])
def site(request: pytest.FixtureRequest) -> Site:
    """Each stack in turn."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def unique() -> Unique:
    """Makes paths that no other test uses: `unique("a.jpg", under="/dead")`."""
    mark = uuid.uuid4().hex[:12]
    return lambda name="object.bin", under="": f"{under}/{mark}/{name}"
