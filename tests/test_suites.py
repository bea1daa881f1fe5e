"""The count of `make test`: a suite that crashed, or ran nothing, has not passed."""

from __future__ import annotations

import pytest

from suites import Count


@pytest.mark.parametrize(
    ("counted", "exit_code", "expected"),
    [
        (Count(5, 0), 0, Count(5, 0)),
        (Count(5, 2), 1, Count(5, 2)),
        (Count(5, 0), 101, Count(5, 1)),
        (Count(0, 0), 0, Count(0, 1)),
    ],
)
def test_a_suite_is_counted_by_what_it_did(counted: Count, exit_code: int, expected: Count) -> None:
    assert counted.checked("a suite", exit_code) == expected
