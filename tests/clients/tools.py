"""The programs that read a small site of their own kind, which the bucket lacks. git and crawlers are here.

A tool is right if it has in the end what the origin has.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from .catalogue import BIN
from .data import READERS
from .packages import apt, go_module, maven, npm, pip
from .proxies import PROXIES
from .tool import Files, Tool, ToolError, expect, expect_somewhere, publish, said
from .trial import Endpoint
from .web import BROWSING


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
    Tool("Maven", "mvn", ["mvn", "--version"], maven),
    *READERS,
    *BROWSING,
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
