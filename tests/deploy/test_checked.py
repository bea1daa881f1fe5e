"""What docs/deploy-kubernetes.md says that `make kubernetes` checks, and what it does check."""

from __future__ import annotations

import re
import shutil

import pytest

from cluster import go
from cluster.__main__ import GROUPS
from cluster.page import HEADINGS, PAGE, blocks, commands
from stack.children import StackError


def test_the_table_names_every_check() -> None:
    section = PAGE.read_text().partition("## What was checked")[2]
    named = re.findall(r"^\| ([^|]+?) \|", section, re.MULTILINE)
    checks = [name for names, *_ in GROUPS for name in names]
    assert named[2:] == checks


def test_every_heading_with_commands_is_followed() -> None:
    assert list(dict.fromkeys(under for under, _ in blocks(PAGE.read_text()))) == HEADINGS


def test_a_command_ends_with_its_text_or_its_last_line() -> None:
    block = ["$ cat > x <<'END'", "a: 1", "END", "$ b \\", "    c", "printed", "$ d"]
    assert list(commands(block)) == [
        ("cat > x <<'END'\na: 1\nEND", []),
        ("b \\\n    c", ["printed"]),
        ("d", []),
    ]


def test_without_go_it_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    with pytest.raises(StackError, match="no go: install Go"):
        go.definitions()
