"""The package of the Helm chart: what `helm package` takes, with nothing in it of this machine and hour."""

from __future__ import annotations

import gzip
import io
import json
import re
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from .failure import ReleaseError

HELM = Path(sys.prefix, "bin", "helm")
NAME = "mirror-on-miss"


def package(checkout: Path, *, time: int) -> tuple[str, bytes]:
    """Returns the package's name and bytes. `time` is that of all files in it."""
    with tempfile.TemporaryDirectory() as directory:
        _helm("package", str(checkout / "envoy" / "chart"), "--destination", directory)
        (made,) = Path(directory).iterdir()
        return made.name, _repacked(made.read_bytes(), time)


def check(checkout: Path, name: str, package: bytes) -> int:
    """Checks that the package says the module's version, and makes what the chart makes. Returns how many
    files it has.
    """
    (version,) = re.findall(r'^version = "(.*)"$', (checkout / "Cargo.toml").read_text(), re.MULTILINE)
    if name != f"{NAME}-{version}.tgz":
        raise ReleaseError(f"the chart is {name}, and the module has the version {version}")
    values = {
        "bucket": {"name": "b", "region": "r"},
        "origin": {"url": "https://o"},
        "module": {"image": {"repository": "m"}},
    }
    with tempfile.TemporaryDirectory() as directory:
        file, settings = Path(directory, name), Path(directory, "values.json")
        file.write_bytes(package)
        settings.write_text(json.dumps(values))
        made = [
            _helm("template", NAME, str(chart), "--values", str(settings))
            for chart in (file, checkout / "envoy" / "chart")
        ]
    if made[0] != made[1]:
        raise ReleaseError(f"{name} makes other objects than envoy/chart")
    with tarfile.open(fileobj=io.BytesIO(package)) as tar:
        return len(tar.getnames())


def _repacked(package: bytes, time: int) -> bytes:
    """Returns the package with its files in order, and one time for all of them."""
    new = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(package)) as old,
        tarfile.open(fileobj=new, mode="w", format=tarfile.USTAR_FORMAT) as tar,
    ):
        for member in sorted(old.getmembers(), key=lambda each: each.name):
            entry = tarfile.TarInfo(member.name)
            entry.size, entry.mode, entry.mtime = member.size, 0o644, time
            tar.addfile(entry, old.extractfile(member))
    return gzip.compress(new.getvalue(), mtime=0)


def _helm(*argv: str) -> str:
    if not HELM.exists():
        raise ReleaseError("no helm: `make release-check` installs it")
    done = subprocess.run([HELM, *argv], capture_output=True, text=True, check=False)
    if done.returncode:
        raise ReleaseError(f"helm {' '.join(argv)}:\n{done.stderr}")
    return done.stdout
