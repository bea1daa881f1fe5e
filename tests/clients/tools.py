"""Package managers, crawlers and proxies: each reads a small site of its own kind, which the bucket lacks.

`SITES` makes the sites. A tool is right if it has in the end what the origin has.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .catalogue import BIN
from .proxies import PROXIES
from .trial import Endpoint, run

Files = Mapping[str, bytes]
HTML = "text/html"


class ToolError(Exception):
    """A tool did not get what the origin has."""


@dataclass(frozen=True)
class Tool:
    name: str
    needs: str
    """The program."""
    version: Sequence[str | Path]
    read: Callable[[str, Path, Endpoint], None]
    """Reads by a base URL into an empty directory. Raises ToolError."""


def said(argv: Sequence[str | Path], directory: Path, **environment: str) -> None:
    done = run(argv, directory, **environment)
    if done.returncode != 0:
        raise ToolError(" | ".join((done.stderr.strip() or done.stdout.strip()).splitlines()[-3:]))


def expect(path: Path, body: bytes) -> None:
    if not path.exists() or path.read_bytes() != body:
        raise ToolError(f"no {path.name}, or another one")


def expect_somewhere(directory: Path, body: bytes) -> None:
    if not any(each.is_file() and each.read_bytes() == body for each in directory.rglob("*")):
        raise ToolError("it is nowhere")


def publish(endpoint: Endpoint, files: Files, under: str) -> None:
    for path, body in files.items():
        kind = {"Content-Type": HTML} if path.endswith((".html", "/")) else {}
        endpoint.site.origin.put(f"/{under}/{path}", body, kind)


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


# git, crawlers


def git_repository(directory: Path) -> Files:
    work, bare = directory / "work", directory / "bare.git"
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.com"]
    said([*git, "init", "--quiet", work], directory)
    (work / "file").write_bytes(b"tracked\n")
    said([*git, "-C", work, "add", "."], directory)
    said([*git, "-C", work, "commit", "--quiet", "--message", "one"], directory)
    said([*git, "clone", "--quiet", "--bare", work, bare], directory)
    said([*git, "-C", bare, "update-server-info"], directory)
    return {str(each.relative_to(bare)): each.read_bytes() for each in bare.rglob("*") if each.is_file()}


def git(*options: str) -> Callable[[str, Path, Endpoint], None]:
    def read(base: str, directory: Path, endpoint: Endpoint) -> None:
        under = f"git{len(options)}/bare.git"
        publish(endpoint, git_repository(directory), under)
        said(["git", *options, "clone", "--quiet", f"{base}/{under}", directory / "clone"], directory)
        expect(directory / "clone" / "file", b"tracked\n")

    return read


PICTURE = bytes(range(256)) * 20
PAGES = {
    "index.html": b'<a href="b.html">b</a><img src="a.png">',
    "b.html": b"<p>b</p>",
    "a.png": PICTURE,
}


def crawler(*command: str) -> Callable[[str, Path, Endpoint], None]:
    def read(base: str, directory: Path, endpoint: Endpoint) -> None:
        under = f"crawled-by-{command[0]}"
        publish(endpoint, PAGES, under)
        said([*command, f"{base}/{under}/index.html"], directory)
        expect_somewhere(directory, PICTURE)

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


TOOLS: Sequence[Tool] = (
    Tool("apt, with `dists/`", "apt-get", ["apt-get", "--version"], apt(flat=False)),
    Tool("apt, flat", "apt-get", ["apt-get", "--version"], apt(flat=True)),
    Tool("git, dumb HTTP", "git", ["git", "--version"], git()),
    Tool(
        "git, `http.followRedirects=true`",
        "git",
        ["git", "--version"],
        git("-c", "http.followRedirects=true"),
    ),
    Tool("wget `-r`", "wget", ["wget", "--version"], crawler("wget", "-q", "-r", "-np")),
    Tool("wget2 `-r`", "wget2", ["wget2", "--version"], crawler("wget2", "-q", "-r", "-np")),
    Tool("HTTrack", "httrack", ["httrack", "--version"], crawler("httrack", "-q", "-r3", "-s0", "-O", ".")),
    Tool("pip, simple index", str(BIN / "pip"), [BIN / "pip", "--version"], pip),
    Tool("npm", str(BIN / "npm"), [BIN / "npm", "--version"], npm),
    Tool("Go's modules", "go", ["go", "version"], go_module),
    *(Tool(each.name, each.needs, each.version, each.read) for each in PROXIES),
)


def is_installed(tool: Tool) -> bool:
    return shutil.which(tool.needs) is not None


def failure_of(tool: Tool, endpoint: Endpoint, directory: Path) -> str:
    """Has a tool read its site. Returns what was wrong, or nothing."""
    directory.mkdir()
    try:
        tool.read(endpoint.base, directory, endpoint)
    except (ToolError, OSError, subprocess.TimeoutExpired) as error:
        return str(error) or "it failed"
    return ""
