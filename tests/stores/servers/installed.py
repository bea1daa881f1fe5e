"""What `make stores` has installed for its servers, and the versions that it has pinned."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from stack.render import CHECKOUT

SOURCES = Path(__file__).resolve().parents[1]
HOME = CHECKOUT / ".stores"
"""Outside of git: an environment of Python, packages of Node.js, and programs of Go and Rust."""


def program(name: str) -> Path | None:
    """Finds a program that the Makefile has installed; None without it."""
    path = HOME / "bin" / name
    return path if path.exists() else None


def garage() -> Path:
    return HOME / f"garage-{of_makefile('GARAGE_VERSION')}" / "bin" / "garage"


def of_makefile(variable: str) -> str:
    """Returns a version that the Makefile pins."""
    return _found(rf"^{variable} := ([0-9.]+)", CHECKOUT / "Makefile")


def system_program(name: str) -> Path | None:
    """Finds a program of the machine's own, of a Debian package."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    return Path(found) if found else None


def of_python(package: str) -> str:
    """Returns the version of a package that requirements.txt pins."""
    return _found(rf"^{re.escape(package)}==([0-9.]+)", SOURCES / "requirements.txt")


def of_node(package: str) -> str:
    return _found(rf'"{re.escape(package)}": "([0-9.]+)"', SOURCES / "package.json")


def of_go(program: str, module: str) -> str:
    """Returns the version of a module that go.mod pins; of one without a release, the day of its commit."""
    file = SOURCES / "programs" / program / "go.mod"
    version = _found(rf"^\s*(?:require )?{re.escape(module)} v(\S+)", file)
    commit = re.fullmatch(r"0\.0\.0-(\d{4})(\d{2})(\d{2})\d{6}-[0-9a-f]+", version)
    return "-".join(commit.groups()) if commit else version


def _found(pattern: str, file: Path) -> str:
    found = re.search(pattern, file.read_text(), re.MULTILINE)
    if not found:
        raise LookupError(f"{file} has no {pattern}")
    return found[1]
