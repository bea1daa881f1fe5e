"""Facts and removal on SeaweedFS, which every test run has; `make stores` has the other servers."""

from __future__ import annotations

from pathlib import Path

from . import facts, table
from .servers.seaweedfs import Seaweed


def test_seaweedfs_says_what_the_page_says_and_nothing_of_it_is_left(tmp_path: Path) -> None:
    with Seaweed(tmp_path) as store:
        target = store.target()
        target.bucket().put("kept", b"of somebody else")
        found = facts.ask(target, "trial/")
        assert found == {name: table.load()["seaweedfs"].cells[name] for name in facts.QUESTIONS}
        target.bucket().ask("POST", "trial/begun", query={"uploads": ""})
        assert target.bucket().remove("trial/") == []
        assert target.bucket().uploads("trial/") == []
        assert target.bucket().get("kept") == b"of somebody else"
