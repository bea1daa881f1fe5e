"""Package managers: each installs a package of one file from a repository of its own kind."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import os
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from .catalogue import BIN, MAVEN
from .tool import Files, expect, publish, said
from .trial import Endpoint

# apt


def debian_package(directory: Path) -> bytes:
    control = directory / "package" / "DEBIAN"
    control.mkdir(parents=True)
    fields = {"Package": "tiny", "Version": "1", "Architecture": "all", "Maintainer": "a <a@example.com>"}
    lines = [f"{name}: {value}" for name, value in fields.items()]
    (control / "control").write_text("\n".join([*lines, "Description: tiny", ""]))
    said(["dpkg-deb", "--build", control.parent, "tiny.deb"], directory)
    return (directory / "tiny.deb").read_bytes()


def apt_repository(directory: Path, flat: bool) -> Files:
    deb = debian_package(directory)
    where = "./tiny_1_all.deb" if flat else "pool/tiny_1_all.deb"
    fields = {"Package": "tiny", "Version": "1", "Architecture": "all", "Filename": where}
    fields |= {"Size": str(len(deb)), "SHA256": hashlib.sha256(deb).hexdigest(), "Description": "tiny"}
    packages = "".join(f"{name}: {value}\n" for name, value in fields.items()).encode() + b"\n"
    indexes = {"Packages": packages, "Packages.gz": gzip.compress(packages)}
    folder = "" if flat else "main/binary-amd64/"
    sums = [
        f" {hashlib.sha256(body).hexdigest()} {len(body)} {folder}{name}" for name, body in indexes.items()
    ]
    release = [
        "Suite: tiny",
        "Codename: tiny",
        "Components: main",
        "Architectures: amd64",
        "SHA256:",
        *sums,
        "",
    ]
    base = "" if flat else "dists/tiny/"
    files = {f"{base}{folder}{name}": body for name, body in indexes.items()}
    return {**files, f"{base}Release": "\n".join(release).encode(), where.removeprefix("./"): deb}


def apt(flat: bool) -> Callable[[str, Path, Endpoint], None]:
    def read(base: str, directory: Path, endpoint: Endpoint) -> None:
        under = f"apt-{'flat' if flat else 'index'}"
        files = apt_repository(directory, flat)
        publish(endpoint, files, under)
        for name in ("lists/partial", "cache/archives/partial"):
            (directory / name).mkdir(parents=True)
        (directory / "status").touch()
        suite = "./" if flat else "tiny main"
        (directory / "sources").write_text(f"deb [trusted=yes] {base}/{under} {suite}\n")
        options = {
            "Dir::Etc::sourcelist": directory / "sources",
            "Dir::Etc::sourceparts": "-",
            "Dir::State::lists": directory / "lists",
            "Dir::State::status": directory / "status",
            "Dir::Cache": directory / "cache",
            "APT::Architecture": "amd64",
            "APT::Sandbox::User": "",
            "Acquire::http::Proxy": "DIRECT",
            "Acquire::Retries": "0",
        }
        command = ["apt-get", *(f"-o{name}={value}" for name, value in options.items())]
        said([*command, "update"], directory)
        said([*command, "download", "tiny"], directory)
        expect(
            directory / "tiny_1_all.deb", next(body for name, body in files.items() if name.endswith(".deb"))
        )

    return read


# pip, npm, Go


def wheel() -> bytes:
    record = "tiny-1.dist-info/RECORD"
    files = {
        "tiny.py": "",
        "tiny-1.dist-info/METADATA": "Metadata-Version: 2.1\nName: tiny\nVersion: 1\n",
        "tiny-1.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
        archive.writestr(record, "".join(f"{name},,\n" for name in [*files, record]))
    return out.getvalue()


def pip(base: str, directory: Path, endpoint: Endpoint) -> None:
    name, body = "tiny-1-py3-none-any.whl", wheel()
    link = f'<a href="../../files/{name}#sha256={hashlib.sha256(body).hexdigest()}">{name}</a>'
    publish(endpoint, {"simple/tiny/": link.encode(), f"files/{name}": body}, "pypi")
    options = [
        "--no-deps",
        "--disable-pip-version-check",
        "--no-cache-dir",
        "--index-url",
        f"{base}/pypi/simple/",
    ]
    said([BIN / "pip", "download", "--quiet", *options, "tiny"], directory, PIP_CONFIG_FILE=os.devnull)
    expect(directory / name, body)


def npm(base: str, directory: Path, endpoint: Endpoint) -> None:
    out = io.BytesIO()
    manifest = {"name": "tiny", "version": "1.0.0"}
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        text = json.dumps(manifest).encode()
        entry = tarfile.TarInfo("package/package.json")
        entry.size = len(text)
        archive.addfile(entry, io.BytesIO(text))
    body = out.getvalue()
    integrity = "sha512-" + base64.b64encode(hashlib.sha512(body).digest()).decode()
    dist = {"tarball": f"{base}/npm/tiny/-/tiny-1.0.0.tgz", "integrity": integrity}
    packument = {
        "name": "tiny",
        "dist-tags": {"latest": "1.0.0"},
        "versions": {"1.0.0": {**manifest, "dist": dist}},
    }
    publish(endpoint, {"tiny": json.dumps(packument).encode(), "tiny/-/tiny-1.0.0.tgz": body}, "npm")
    (directory / "package.json").write_text("{}")
    options = [
        f"--registry={base}/npm/",
        f"--userconfig={os.devnull}",
        f"--cache={directory / 'cache'}",
        "--no-audit",
    ]
    path = f"{BIN}:{os.environ['PATH']}"
    said([BIN / "npm", "install", "--silent", "--fetch-retries=0", *options, "tiny"], directory, PATH=path)
    expect(directory / "node_modules" / "tiny" / "package.json", json.dumps(manifest).encode())


def go_module(base: str, directory: Path, endpoint: Endpoint) -> None:
    module, version = "example.com/tiny", "v1.0.0"
    text = f"module {module}\n".encode()
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(f"{module}@{version}/go.mod", text)
        archive.writestr(f"{module}@{version}/tiny.go", "package tiny\n")
    info = json.dumps({"Version": version, "Time": "2026-01-01T00:00:00Z"}).encode()
    files = {f"{version}.info": info, f"{version}.mod": text, f"{version}.zip": out.getvalue()}
    publish(endpoint, {f"{module}/@v/{name}": body for name, body in files.items()}, "goproxy")
    where = {
        "GOPROXY": f"{base}/goproxy",
        "GONOSUMDB": "*",
        "GOSUMDB": "off",
        "GOFLAGS": "-modcacherw",
        "GOENV": "off",
    }
    where["GOMODCACHE"] = str(directory / "modules")
    said(["go", "mod", "download", f"{module}@{version}"], directory, **where)
    expect(directory / "modules" / f"{module}@{version}" / "tiny.go", b"package tiny\n")


# Maven


TINY_POM = b"""<project><modelVersion>4.0.0</modelVersion>
<groupId>example</groupId><artifactId>tiny</artifactId><version>1</version></project>"""


def maven(base: str, directory: Path, endpoint: Endpoint) -> None:
    """Gets an artifact with dependency:get. The plugin itself comes from that repository, too."""
    files = {"tiny-1.pom": TINY_POM, "tiny-1.jar": wheel()}
    sums = {f"{name}.sha1": hashlib.sha1(body).hexdigest().encode() for name, body in files.items()}
    publish(endpoint, {**files, **sums}, "maven/example/tiny/1")
    plugin = [each for each in MAVEN.rglob("*-*") if each.is_file()]
    publish(endpoint, {str(each.relative_to(MAVEN)): each.read_bytes() for each in plugin}, "maven")
    mirror = f"<mirror><id>edge</id><mirrorOf>*</mirrorOf><url>{base}/maven</url></mirror>"
    (directory / "settings.xml").write_text(f"<settings><mirrors>{mirror}</mirrors></settings>")
    local = directory / "repository"
    where = ["--settings", directory / "settings.xml", f"-Dmaven.repo.local={local}"]
    command = ["mvn", "--batch-mode", "--quiet", "--strict-checksums", *where]
    said([*command, "dependency:get", "-Dartifact=example:tiny:1"], directory)
    expect(local / "example" / "tiny" / "1" / "tiny-1.jar", files["tiny-1.jar"])
