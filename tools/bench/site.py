"""The processes of a measurement, and the place of its files."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from stack import S3Store, SeaweedFS, Stack
from stack.render import Wiring

from .edges import to_halves
from .native import Loader, Upstream

PATIENCE = "85s"
"""The filter's `wait`, so that a client sees the end of a fill: as long as Envoy's idle timeout allows."""

PATIENT: Mapping[str, Any] = {"wait": PATIENCE, "origin": {"timeout": PATIENCE}}
DEFAULTS: Mapping[str, Any] = {}
"""Configurations of the plugin, merged over what is shipped."""


@contextmanager
def directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="mirror-on-miss-bench-") as path:
        yield Path(path)


@dataclass(frozen=True)
class Site:
    """The stack in front of upstreams that cost next to nothing."""

    stack: Stack
    store: S3Store
    upstream: Upstream
    loader: Loader

    @property
    def objects(self) -> str:
        """Returns the URL that a key is behind, as clients write it."""
        return (
            f"{self.stack.url}/{self.store.bucket}" if self.stack.wiring == "transparent" else self.stack.url
        )

    @property
    def pids(self) -> tuple[int, int]:
        return self.stack.edge.pid, self.stack.signer.pid

    @property
    def processes(self) -> dict[str, int]:
        """Returns every process that works on a request besides its client."""
        if isinstance(self.store, SeaweedFS):
            upstreams = {"bucket": self.store.child.pid, "origin": self.upstream.child.pid}
        else:
            upstreams = {"bucket and origin": self.upstream.child.pid}
        return {"edge": self.stack.edge.pid, "signer": self.stack.signer.pid, **upstreams}


@contextmanager
def site(
    *,
    workers: int,
    store: S3Store | None = None,
    wiring: Wiring = "redirect",
    plugin: Mapping[str, Any] = PATIENT,
    edit: Callable[[str, dict[str, Any]], None] | None = None,
    **upstream_options: int,
) -> Iterator[Site]:
    """Runs a stack. `edit` changes its edge, and is given the origin's authority, too."""
    with directory() as run_dir, Upstream(run_dir, **upstream_options) as upstream:
        store = store or upstream.store
        origin = urlsplit(upstream.origin).netloc

        def edit_edge(edge: dict[str, Any]) -> None:
            to_halves(origin, edge)
            if edit:
                edit(origin, edge)

        with Stack(
            run_dir,
            origin=upstream.origin,
            store=store,
            workers=workers,
            wiring=wiring,
            plugin=plugin,
            edit_edge=edit_edge,
        ) as stack:
            yield Site(stack, store, upstream, Loader())
