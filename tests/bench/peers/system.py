"""Each of them in front of the same upstreams."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Callable
from urllib.parse import urlsplit

from stack import Stack
from stack.stack import Edit

from ..edges import bare
from ..native import Upstream
from ..resident import members
from ..site import PATIENCE
from . import lua, nginx, recipe


@dataclass(frozen=True)
class System:
    url: str
    groups: list[int]
    """Process groups that do its work, without the upstreams."""

    def pids(self) -> list[int]:
        return [pid for group in self.groups for pid in members(group)]


@contextmanager
def start(name: str, run_dir: Path, upstream: Upstream, workers: int) -> Iterator[System]:
    with ExitStack() as running:
        yield SYSTEMS[name](running, run_dir / name, upstream, workers)


def unavailable(name: str) -> str | None:
    """Why one cannot be started here."""
    return nginx.missing() if name == "nginx" else None


def _mirror(running: ExitStack, run_dir: Path, upstream: Upstream, workers: int) -> System:
    stack = running.enter_context(_stack(run_dir, upstream, workers, None))
    return System(stack.url, [stack.edge.pid, stack.signer.pid])


def _lua(running: ExitStack, run_dir: Path, upstream: Upstream, workers: int) -> System:
    authority = urlsplit(upstream.origin).netloc
    stack = running.enter_context(_stack(run_dir, upstream, workers, partial(lua.edit, authority)))
    return System(stack.url, [stack.edge.pid, stack.signer.pid])


def _nginx(running: ExitStack, run_dir: Path, upstream: Upstream, workers: int) -> System:
    server = running.enter_context(nginx.Nginx(run_dir, upstream.origin, workers))
    return System(server.url, [server.child.pid])


def _recipe(running: ExitStack, run_dir: Path, upstream: Upstream, workers: int) -> System:
    function = running.enter_context(recipe.Function(run_dir, upstream, workers))
    edit = partial(recipe.fail_over, function.port)
    stack = running.enter_context(_stack(run_dir, upstream, workers, edit))
    return System(stack.url, [stack.edge.pid, function.child.pid])


def _stack(run_dir: Path, upstream: Upstream, workers: int, edit: Edit | None) -> Stack:
    plugin = {} if edit else {"wait": PATIENCE}
    return Stack(
        run_dir,
        origin=upstream.origin,
        store=upstream.store,
        workers=workers,
        plugin=plugin,
        edit_edge=edit and partial(_without_filter, edit),
    )


def _without_filter(edit: Edit, edge: dict) -> None:
    bare(edge)
    edit(edge)


SYSTEMS: dict[str, Callable[[ExitStack, Path, Upstream, int], System]] = {
    "mirror-on-miss": _mirror,
    "Lua filter": _lua,
    "Lambda recipe": _recipe,
    "nginx": _nginx,
}
