"""The bill of materials, in CycloneDX: cargo-cyclonedx's list of a build, compared with the build's
output.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from .build import TARGET, Build, committed
from .failure import ReleaseError

TOOL = Path(sys.prefix, "bin", "cargo-cyclonedx")
FILE = "sbom"


def of(build: Build) -> str:
    """Makes the SBOM of a build's module, without anything of the machine or the moment in it."""
    build.call(
        str(TOOL),
        "cyclonedx",
        "--format=json",
        "--spec-version=1.5",
        f"--target={TARGET}",
        f"--override-filename={FILE}",
        # Otherwise it holds the moment and a random number:
        # https://reproducible-builds.org/specs/source-date-epoch/
        SOURCE_DATE_EPOCH=committed(),
    )
    return (build.checkout / f"{FILE}.json").read_text().replace(str(build.checkout), "/mirror-on-miss")


def check(text: str, build: Build) -> list[str]:
    """Returns the crates that rustc compiled for the module, `name version` each. The SBOM must name them
    all.
    """
    bill = json.loads(text)
    components = [bill["metadata"]["component"], *bill["components"]]
    named = {f"{each['name']} {each['version']}" for each in components}
    compiled = _compiled(build)
    if not compiled:
        raise ReleaseError(f"cargo left no trace in {build.built} of what rustc compiled")
    if missing := compiled - named:
        raise ReleaseError(f"rustc compiled for the module what the SBOM does not name: {sorted(missing)}")
    if missing := {crate for crate in _mentioned(build.module) if crate not in named}:
        raise ReleaseError(f"the module mentions what the SBOM does not name: {sorted(missing)}")
    return sorted(compiled)


def _compiled(build: Build) -> set[str]:
    """Lists crates whose sources rustc read for the target; they are no build scripts and no procedural
    macros.
    """
    texts = [each.read_text() for each in (build.built / "deps").glob("*.d")]
    paths = re.findall(r"/registry/src/[^/]+/([^/]+?)-(\d+\.\d+\.\d+[^/]*)/", "\n".join(texts))
    return {f"{name} {version}" for name, version in paths}


def _mentioned(module: Path) -> set[str]:
    """Lists crates whose source paths are in the module, in the messages of panics."""
    paths = re.findall(rb"\./[^/\0]+/([a-z0-9_-]+)-(\d+\.\d+\.\d+[^/\0]*)/", module.read_bytes())
    return {f"{name.decode()} {version.decode()}" for name, version in paths}
