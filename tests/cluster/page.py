"""docs/deploy-kubernetes.md, followed from top to bottom: its commands are run as they stand there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

from deploy.kubectl import BINARY
from stack.render import CHECKOUT

from .server import Server

PAGE = CHECKOUT / "docs" / "deploy-kubernetes.md"

_HEADING = re.compile(r"^##+ (.*)$")
_FENCE = re.compile(r"^( *)```(\w*)$")
_HERE = re.compile(r"<<'(\w+)'$")

NOT_HERE = ("docker ",)
"""What needs more than a control plane."""


def blocks(text: str) -> Iterator[tuple[str, list[str]]]:
    """Returns the `console` blocks with the heading above each, without their indentation."""
    heading, block, indent = "", None, ""
    for line in text.splitlines():
        fence = _FENCE.match(line)
        if block is not None:
            if fence:
                yield heading, block
                block = None
            else:
                block.append(line.removeprefix(indent))
        elif fence:
            indent, kind = fence.groups()
            block = [] if kind == "console" else None
        elif match := _HEADING.match(line):
            heading = match[1]


def commands(block: list[str]) -> Iterator[tuple[str, list[str]]]:
    """Returns each command of a block, with the lines that it must print."""
    lines = iter(block)
    command, printed = "", []
    for line in lines:
        if not line.startswith("$ "):
            printed.append(line)
            continue
        if command:
            yield command, printed
        command, printed = line.removeprefix("$ "), []
        while command.endswith("\\"):
            command += "\n" + next(lines)
        if here := _HERE.search(command):
            end = here[1]
            while not command.endswith(f"\n{end}"):
                command += "\n" + next(lines)
    if command:
        yield command, printed


def follow(heading: str) -> Callable[[Server, Path], None]:
    """Runs the commands under a heading, in the directory in which those above were run."""

    def check(server: Server, work: Path) -> None:
        directory = work / "page"
        if not directory.exists():
            directory.mkdir()
            shutil.copytree(CHECKOUT / "envoy", directory / "mirror-on-miss" / "envoy")
            shim = directory / "bin" / "kubectl"
            shim.parent.mkdir()
            shim.write_text(f'#!/bin/sh\nexec {BINARY} --kubeconfig {server.config} "$@"\n')
            shim.chmod(0o755)
        environment = {**os.environ, "PATH": f"{directory}/bin:{os.environ['PATH']}"}
        found = [block for under, block in blocks(PAGE.read_text()) if under == heading]
        assert found, f"nothing under {heading}"
        for block in found:
            for command, printed in commands(block):
                if command.startswith(NOT_HERE):
                    continue
                done = subprocess.run(
                    ["bash", "-euo", "pipefail", "-c", command],
                    cwd=directory,
                    env=environment,
                    capture_output=True,
                    text=True,
                    check=False,
                )
                assert done.returncode == 0, f"$ {command}\n{done.stderr}"
                for line in printed:
                    assert line in done.stdout, f"$ {command}\nprints no {line}:\n{done.stdout}"

    return check


HEADINGS = [
    "Install it",
    "Credentials",
    "Several sites in a namespace",
    "One fetch per object, over all replicas",
    "Remove it",
    "A sidecar of an application",
    "Istio",
    "An application's own sidecar",
    "Envoy Gateway",
]


def what_is_there(server: Server, work: Path) -> None:
    """The namespaces that Istio and Envoy Gateway are in; the page makes each other one."""
    for name in ("istio-ingress", "envoy-gateway-system"):
        server.told("create", "namespace", name)
    assert {under for under, _ in blocks(PAGE.read_text())} == set(HEADINGS)


FOLLOWED = {
    "the page: every heading with commands": what_is_there,
    **{f"the page: {heading}": follow(heading) for heading in HEADINGS},
}
