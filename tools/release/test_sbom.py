"""An SBOM is compared with the sources that rustc read, and with the paths that are in the module."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from . import sbom
from .build import Build
from .failure import ReleaseError


@pytest.fixture
def build(tmp_path: Path) -> Build:
    """Makes a build in which rustc read two crates, and the module mentions one of them and a third."""
    made = Build(tmp_path, {})
    (made.built / "deps").mkdir(parents=True)
    for crate in ("log-0.4.35", "md-5-0.10.6"):
        source = f"/home/me/.cargo/registry/src/index.crates.io-19/{crate}/src/lib.rs"
        (made.built / "deps" / f"{crate}.d").write_text(f"deps/{crate}.rlib: {source}\n\n{source}:\n")
    made.module.write_bytes(
        b"\0asm./index.crates.io-19/log-0.4.35/src/lib.rs\0./index.crates.io-19/url-2.5.8/src/lib.rs"
    )
    return made


def bill(*crates: str) -> str:
    components = [dict(zip(("name", "version"), crate.split(), strict=True)) for crate in crates]
    own = {"name": "mirror-on-miss", "version": "0.1.0"}
    return json.dumps({"metadata": {"component": own}, "components": components})


def test_an_sbom_that_names_all(build: Build) -> None:
    assert sbom.check(bill("log 0.4.35", "md-5 0.10.6", "url 2.5.8"), build) == ["log 0.4.35", "md-5 0.10.6"]


@pytest.mark.parametrize(
    ("named", "complaint"),
    [
        (["log 0.4.35", "url 2.5.8"], "compiled .*'md-5 0.10.6'"),
        (["log 0.4.34", "md-5 0.10.6", "url 2.5.8"], "compiled .*'log 0.4.35'"),
        (["log 0.4.35", "md-5 0.10.6"], "mentions .*'url 2.5.8'"),
    ],
)
def test_an_sbom_that_does_not(build: Build, named: list[str], complaint: str) -> None:
    with pytest.raises(ReleaseError, match=complaint):
        sbom.check(bill(*named), build)


def test_a_build_that_left_nothing_to_compare(build: Build) -> None:
    for each in (build.built / "deps").iterdir():
        each.unlink()
    with pytest.raises(ReleaseError, match="no trace"):
        sbom.check(bill("log 0.4.35", "md-5 0.10.6", "url 2.5.8"), build)
