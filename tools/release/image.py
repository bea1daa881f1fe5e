"""The OCI image of the module: the stage `module` of envoy/Dockerfile, built around the module at hand."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import re
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from stack.render import CHECKOUT

from .build import committed
from .failure import ReleaseError

DOCKERFILE = CHECKOUT / "envoy" / "Dockerfile"
FILE = "plugin.wasm"
"""The name that Istio and Envoy Gateway look for in an image."""

PLATFORMS = ("linux/amd64", "linux/arm64")
"""The module runs on any platform, but a node's container engine takes an image for its own platform only."""

LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
"""Istio and Envoy Gateway take no other: `extractOCIStandardImage`, pkg/wasm/imagefetcher.go of Istio."""

INSTALL = "no buildah: install it, on Debian and Ubuntu with apt install buildah"


def build(module: Path, layout: Path, *, tag: str, work: Path) -> str:
    """Writes an OCI image layout with that image. Returns its digest."""
    if not shutil.which("buildah"):
        raise ReleaseError(INSTALL)
    stage = re.search(rf"^COPY --from=(\w+) /{FILE} /{FILE}$", DOCKERFILE.read_text(), re.MULTILINE)
    if not stage:
        raise ReleaseError(f"{DOCKERFILE.name} has no stage that is only {FILE}")
    context = work / "context"
    context.mkdir()
    shutil.copyfile(module, context / FILE)
    # It is not this user's storage: nothing stays behind, and the machine's own storage does not matter.
    with tempfile.TemporaryDirectory(prefix="mirror-on-miss-image-") as storage:
        buildah = ["buildah", "--storage-driver=vfs", f"--root={storage}/root", f"--runroot={storage}/run"]
        _run(
            *buildah,
            "build",
            "--isolation=chroot",
            "--target=module",
            # In place of the stage that builds the module in a container.
            f"--build-context={stage[1]}={context}",
            f"--platform={','.join(PLATFORMS)}",
            "--manifest=module",
            f"--timestamp={committed()}",
            "--identity-label=false",
            f"--file={DOCKERFILE}",
            str(context),
        )
        _run(*buildah, "manifest", "push", "--all", "module", f"oci:{layout}:{tag}")
        _run(*buildah, "rmi", "--all", "--force")
    return json.loads((layout / "index.json").read_text())["manifests"][0]["digest"]


def check(layout: Path, module: Path) -> None:
    """Checks that blobs match their names, and that each image is one compressed layer with the module
    in it.
    """
    for blob in (layout / "blobs/sha256").iterdir():
        if hashlib.sha256(blob.read_bytes()).hexdigest() != blob.name:
            raise ReleaseError(f"the image's blob {blob.name} has other bytes")
    (top,) = _read(layout / "index.json")["manifests"]
    manifests = _blob(layout, top)["manifests"]
    platforms = sorted(f"{each['platform']['os']}/{each['platform']['architecture']}" for each in manifests)
    if platforms != sorted(PLATFORMS):
        raise ReleaseError(f"the image is for {platforms}")
    for each in manifests:
        layers = _blob(layout, each)["layers"]
        if [layer["mediaType"] for layer in layers] != [LAYER]:
            raise ReleaseError(f"the image's layers are {layers}")
        files = _files(_path(layout, layers[0]))
        if files != {FILE: module.read_bytes()}:
            raise ReleaseError(f"the image's layer holds {sorted(files)}, or another module")


def _files(layer: Path) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(layer.read_bytes()))) as tar:
        return {each.name: tar.extractfile(each).read() for each in tar if each.isfile()}  # type: ignore[union-attr]


def _blob(layout: Path, descriptor: dict[str, Any]) -> Any:
    return _read(_path(layout, descriptor))


def _path(layout: Path, descriptor: dict[str, Any]) -> Path:
    return layout / "blobs" / descriptor["digest"].replace(":", "/")


def _read(path: Path) -> Any:
    return json.loads(path.read_text())


def _run(*argv: str) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ReleaseError(f"{' '.join(argv)}:\n{done.stderr}")
