"""The systems, each in front of the same upstreams."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from stack import Stack

from ..edges import bare
from ..native import Upstream
from ..resident import members
from ..site import PATIENCE
from . import lua, nginx, recipe


@dataclass(frozen=True)
class System:
    url: str
    groups: list[int]
    """The process groups that do its work, without the upstreams."""
    prefix: str = ""
    """The start of its paths, in front of a key."""

    def pids(self) -> list[int]:
        return [pid for group in self.groups for pid in members(group)]


@contextmanager
def start(name: str, run_dir: Path, upstream: Upstream, workers: int) -> Iterator[System]:
    with ExitStack() as running:
        yield {**SYSTEMS, **STREAMING}[name](running, run_dir / name.replace(" ", "-"), upstream, workers)


def unavailable(name: str) -> str | None:
    """Returns the reason for which a system cannot be started here."""
    return nginx.missing() if name.startswith("nginx") else None


def of_stack(stack: Stack, prefix: str = "") -> System:
    return System(stack.url, [stack.edge.pid, stack.signer.pid], prefix)


def _ours(running: ExitStack, run_dir: Path, upstream: Upstream, workers: int, **plugin: Any) -> System:
    return of_stack(running.enter_context(_stack(run_dir, upstream, workers, plugin=plugin)))


def _transparent(
    running: ExitStack, run_dir: Path, upstream: Upstream, workers: int, **plugin: Any
) -> System:
    stack = _stack(run_dir, upstream, workers, wiring="transparent", plugin=plugin)
    return of_stack(running.enter_context(stack), f"/{upstream.store.bucket}")


def _lua(running: ExitStack, run_dir: Path, upstream: Upstream, workers: int) -> System:
    edit = partial(lua.copy, urlsplit(upstream.origin).netloc)
    return of_stack(running.enter_context(_stack(run_dir, upstream, workers, edit_edge=edit)))


def _nginx(
    running: ExitStack, run_dir: Path, upstream: Upstream, workers: int, caches: bool = False
) -> System:
    server = running.enter_context(nginx.Nginx(run_dir, upstream.origin, workers, caches=caches))
    return System(server.url, [server.child.pid])


def _recipe(running: ExitStack, run_dir: Path, upstream: Upstream, workers: int) -> System:
    function = running.enter_context(recipe.Function(run_dir, upstream, workers))

    def edit(edge: dict[str, Any]) -> None:
        bare(edge)
        recipe.fail_over(function.port, edge)

    stack = running.enter_context(_stack(run_dir, upstream, workers, edit_edge=edit))
    return System(stack.url, [stack.edge.pid, function.child.pid])


def _stack(
    run_dir: Path, upstream: Upstream, workers: int, plugin: dict[str, Any] | None = None, **options: Any
) -> Stack:
    return Stack(
        run_dir,
        origin=upstream.origin,
        store=upstream.store,
        workers=workers,
        plugin={"wait": PATIENCE, **(plugin or {})},
        **options,
    )


SYSTEMS: dict[str, Callable[[ExitStack, Path, Upstream, int], System]] = {
    "redirect": _ours,
    "serve": partial(_ours, rules=[{"response": "serve"}]),
    "transparent": _transparent,
    "Lua filter": _lua,
    "Lambda recipe": _recipe,
    "nginx": _nginx,
}
OURS = ("redirect", "serve", "transparent")
"""This project's."""

STREAMING: dict[str, Callable[[ExitStack, Path, Upstream, int], System]] = {
    "transparent, serve": partial(_transparent, rules=[{"response": "serve"}]),
    "nginx proxy_store": _nginx,
    "nginx proxy_cache": partial(_nginx, caches=True),
}
"""Those that are compared for large objects alone."""
