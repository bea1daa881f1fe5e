"""`make release-check VERSION=1.2.3`: makes target/release-check/out, and reports the proofs.

Without VERSION everything is checked except the release's own notes, in Cargo.toml and CHANGELOG.md.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from stack.render import CHECKOUT

from . import chart, command, image, notes, sbom
from .build import MODULE, Build, committed, sha256
from .failure import ReleaseError

WORK = CHECKOUT / "target" / "release-check"
OUT = WORK / "out"


def main() -> int:
    try:
        _check(os.environ.get("VERSION") or None)
    except ReleaseError as error:
        print(f"make release-check: {error}", file=sys.stderr)
        return 1
    print(f"ready in {OUT.relative_to(CHECKOUT)}: {', '.join(sorted(each.name for each in OUT.iterdir()))}")
    return 0


def _check(version: str | None) -> None:
    shutil.rmtree(WORK, ignore_errors=True)
    OUT.mkdir(parents=True)
    _check_compiler()
    if version:
        (OUT / "notes.md").write_text(notes.of(version, CHECKOUT))
        _say(f"Cargo.toml, Cargo.lock and CHANGELOG.md say {version}")
    else:
        _say("no VERSION given: what Cargo.toml and CHANGELOG.md say was not looked at", "----")

    with tempfile.TemporaryDirectory(prefix="mirror-on-miss-") as elsewhere:
        here = Build.run(WORK / "checkout")
        there = Build.run(
            Path(elsewhere, "another", "checkout"),
            CARGO_HOME=f"{elsewhere}/cargo",
            CARGO_TARGET_DIR=f"{elsewhere}/built",
            LC_ALL="C",
            TZ="Pacific/Kiritimati",
        )
        if here.module.read_bytes() != there.module.read_bytes():
            raise ReleaseError(f"two clean builds differ: {sha256(here.module)} and {sha256(there.module)}")
        _say("two clean builds in different places, with different caches, give the same bytes")
        bills = [sbom.of(each) for each in (here, there)]
        if bills[0] != bills[1]:
            raise ReleaseError("the SBOMs of two clean builds differ")
        packages = [chart.package(each.checkout, time=int(committed())) for each in (here, there)]
        if packages[0] != packages[1]:
            raise ReleaseError("the chart's packages of two checkouts differ")

    module = shutil.copy2(here.module, OUT / MODULE)
    checksums = OUT / f"{MODULE}.sha256"
    checksums.write_text(f"{sha256(module)}  {MODULE}\n")
    subprocess.run(["sha256sum", "--check", "--quiet", checksums.name], cwd=OUT, check=True)
    _say(f"{checksums.name} verifies: {sha256(module)}")

    for file in command.build(OUT, WORK):
        command.check(file, version)
        file.with_name(f"{file.name}.sha256").write_text(f"{sha256(file)}  {file.name}\n")
        _say(f"{file.name} is static: {file.stat().st_size / 1e6:.1f} MB")

    (OUT / "mirror_on_miss.cdx.json").write_text(bills[0])
    named = sbom.check(bills[0], here)
    _say(f"the SBOM names every crate in the module: {', '.join(named)}")

    name, package = packages[0]
    files = chart.check(here.checkout, name, package)
    (OUT / name).write_bytes(package)
    digest = sha256(OUT / name)
    (OUT / f"{name}.sha256").write_text(f"{digest}  {name}\n")
    _say(f"the chart's package has {files} files, the same bytes from both checkouts: {digest}")

    digest = image.build(module, OUT / "image", tag=version or "unreleased", work=WORK)
    image.check(OUT / "image", module)
    _say(f"the image has one layer, with plugin.wasm in it, for {' and '.join(image.PLATFORMS)}: {digest}")
    _say("that a registry takes it, and that GitHub runs the workflow, was not tried", "----")


def _check_compiler() -> None:
    """Checks the compiler. Another one gives other bytes: every build of a release uses the one of
    envoy/Dockerfile.
    """
    pinned = re.findall(r"^FROM rust:([\d.]+)", (CHECKOUT / "envoy/Dockerfile").read_text(), re.MULTILINE)
    said = subprocess.run(["rustc", "--version"], check=True, capture_output=True, text=True).stdout
    ours = said.split()[1]
    if pinned != [ours]:
        raise ReleaseError(f"this is Rust {ours}, but releases are built with {', '.join(pinned)}")
    _say(f"Rust {ours}, as in envoy/Dockerfile")


def _say(what: str, mark: str = "ok  ") -> None:
    print(f"{mark}  {what}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
