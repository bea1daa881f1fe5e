"""The check of an image finds each flaw that Istio, Envoy Gateway or a node would stumble over."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from . import image
from .failure import ReleaseError

WASM = b"\0asm"


@pytest.fixture
def module(tmp_path: Path) -> Path:
    path = tmp_path / "module"
    path.write_bytes(WASM)
    return path


def layout(at: Path, **changes: Any) -> Path:
    """Writes a correct layout with these changes."""
    about = {"name": image.FILE, "content": WASM, "media_type": image.LAYER, "layers": 1, "arm": "arm64"}
    about |= changes
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        info = tarfile.TarInfo(about["name"])
        info.size = len(about["content"])
        tar.addfile(info, io.BytesIO(about["content"]))
    layer = {"mediaType": about["media_type"], **blob(at, gzip.compress(buffer.getvalue()))}
    manifests = [
        {
            "platform": {"os": "linux", "architecture": architecture},
            **blob(at, json.dumps({"layers": [layer] * about["layers"]}).encode()),
        }
        for architecture in ("amd64", about["arm"])
    ]
    index = {"manifests": [blob(at, json.dumps({"manifests": manifests}).encode())]}
    (at / "index.json").write_text(json.dumps(index))
    return at


def blob(at: Path, content: bytes) -> dict[str, str]:
    name = hashlib.sha256(content).hexdigest()
    directory = at / "blobs/sha256"
    directory.mkdir(parents=True, exist_ok=True)
    (directory / name).write_bytes(content)
    return {"digest": f"sha256:{name}"}


def test_an_image_as_it_should_be(tmp_path: Path, module: Path) -> None:
    image.check(layout(tmp_path / "image"), module)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"arm": "riscv64"}, "the image is for"),
        ({"content": b"other"}, "or another module"),
        ({"layers": 2}, "layers are"),
        ({"media_type": "application/vnd.oci.image.layer.v1.tar"}, "layers are"),
        ({"name": "module.wasm"}, "holds"),
    ],
)
def test_an_image_that_is_wrong(
    tmp_path: Path, module: Path, changes: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(ReleaseError, match=complaint):
        image.check(layout(tmp_path / "image", **changes), module)


def test_a_blob_with_other_bytes(tmp_path: Path, module: Path) -> None:
    at = layout(tmp_path / "image")
    next((at / "blobs/sha256").iterdir()).write_bytes(b"{}")
    with pytest.raises(ReleaseError, match="has other bytes"):
        image.check(at, module)
