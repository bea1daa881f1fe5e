"""A release's version and notes."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

from .failure import ReleaseError


def of(version: str, checkout: Path) -> str:
    """Returns the notes of that version, which Cargo.toml must have too."""
    # Fails if Cargo.lock has another one.
    argv = ["cargo", "metadata", "--locked", "--no-deps", "--format-version=1"]
    metadata = subprocess.run(argv, cwd=checkout, check=True, capture_output=True, text=True).stdout
    (package,) = json.loads(metadata)["packages"]
    if package["version"] != version:
        raise ReleaseError(f"VERSION={version}, but Cargo.toml says {package['version']}")
    return section((checkout / "CHANGELOG.md").read_text(), version)


def section(changelog: str, version: str) -> str:
    """Returns the text below `## VERSION - YYYY-MM-DD`. It must be the newest, with nothing left in
    Unreleased.
    """
    heading, *sections = re.split(r"^## ", changelog, flags=re.MULTILINE)
    unreleased, found = "", None
    for each in sections:
        title, _, text = each.partition("\n")
        if title.strip() == "Unreleased":
            unreleased = text.strip()
        elif found is None:
            found = (title.strip(), text.strip())
    if unreleased:
        raise ReleaseError("CHANGELOG.md has something under Unreleased: it belongs to the new version")
    if found is None or not re.fullmatch(rf"{re.escape(version)} - \d{{4}}-\d\d-\d\d", found[0]):
        newest = found[0] if found else "nothing"
        raise ReleaseError(f"CHANGELOG.md must begin with `## {version} - YYYY-MM-DD`, but has {newest}")
    if not found[1]:
        raise ReleaseError(f"CHANGELOG.md says nothing about {version}")
    return f"{found[1]}\n"
