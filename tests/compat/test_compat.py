"""`make compat` runs the documented versions, and fails if one of them fails."""

from __future__ import annotations

import pytest

from stack.settings import OLDEST_ENVOY
from suites import Count

from . import __main__ as compat


@pytest.mark.parametrize(("failed", "exit_code"), [("1.37.0", 1), ("none", 0)])
def test_a_test_that_failed_on_any_envoy_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], failed: str, exit_code: int
) -> None:
    monkeypatch.setenv("VERSIONS", "1.36.4 1.37.0 1.40.0")
    monkeypatch.setattr(compat, "_count", lambda version, _: Count(9, int(version == failed)))
    assert compat.main() == exit_code
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines[1:]] == [
        [version, "9", str(int(version == failed))] for version in ("1.36.4", "1.37.0", "1.40.0")
    ]


def test_the_oldest_that_is_allowed_is_tried() -> None:
    oldest = compat.VERSIONS.split()[0].split(".")
    assert tuple(int(number) for number in oldest[:2]) == OLDEST_ENVOY
