"""Twenty seeds; `make chaos` runs any number."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .run import Replicas, chaos_site, run_seed

SEEDS = range(1, 21)


@pytest.fixture(scope="module")
def replicas(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replicas]:
    with chaos_site(tmp_path_factory.mktemp("chaos")) as replicas:
        yield replicas


@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_goes_wrong_clients_are_answered_and_the_bucket_is_right(
    replicas: Replicas, seed: int
) -> None:
    report = run_seed(replicas, seed)
    print(report.line())
    assert not report.problems, "\n".join([f"replay: make chaos SEED={seed} SEEDS=1", *report.problems])
