"""A release's version and notes are taken only when CHANGELOG.md is ready for it."""

from __future__ import annotations

import pytest

from .failure import ReleaseError
from .notes import section

READY = """# Changelog

Words.

## Unreleased

## 0.2.0 - 2026-12-01

### Added

- Something.

## 0.1.0 - 2026-11-01

- The beginning.
"""


def test_the_notes_are_what_stands_below_the_version() -> None:
    assert section(READY, "0.2.0") == "### Added\n\n- Something.\n"


@pytest.mark.parametrize(
    ("changelog", "version", "complaint"),
    [
        (READY, "0.1.0", "must begin with `## 0.1.0"),
        (READY, "0.3.0", "must begin with `## 0.3.0"),
        (READY.replace(" - 2026-12-01", ""), "0.2.0", "must begin with"),
        (READY.replace("## Unreleased\n", "## Unreleased\n\n- More.\n"), "0.2.0", "under Unreleased"),
        (READY.replace("### Added\n\n- Something.\n", ""), "0.2.0", "says nothing about 0.2.0"),
        ("# Changelog\n", "0.2.0", "but has nothing"),
    ],
)
def test_a_changelog_that_is_not_ready(changelog: str, version: str, complaint: str) -> None:
    with pytest.raises(ReleaseError, match=complaint):
        section(changelog, version)
