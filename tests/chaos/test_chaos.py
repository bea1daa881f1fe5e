"""Twenty seeds; `make chaos` runs any number."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from e2e.site import Site

from .run import chaos_site, run_seed

SEEDS = range(1, 21)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with chaos_site(tmp_path_factory.mktemp("chaos")) as site:
        yield site


@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_goes_wrong_clients_are_answered_and_the_bucket_is_right(site: Site, seed: int) -> None:
    report = run_seed(site, seed)
    print(report.line())
    assert not report.problems, "\n".join([f"replay: make chaos SEED={seed} SEEDS=1", *report.problems])
