"""The edge and the signer, as an operator would start them, in front of a store and an origin that run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from . import render
from .children import require_free
from .envoy import Envoy
from .origins import OriginAccess
from .render import CHECKOUT
from .store import S3Store

WASM = CHECKOUT / "target" / "mirror_on_miss.wasm"
SIGNER_WORKERS = 1
"""Enough: it signs and passes on."""

Edit = Callable[[dict[str, Any]], None]


class Stack:
    """Runs between entry and exit.

    `port` 0 is any free one. `plugin` is merged over the plugin's configuration (RFC 7396: null removes).
    `edit_edge` and `edit_signer` may change the Envoy configurations in place, once adapted to this machine.
    """

    def __init__(
        self,
        run_dir: Path,
        *,
        origin: str,
        store: S3Store,
        bucket: str | None = None,
        wiring: render.Wiring = "redirect",
        port: int = 0,
        workers: int = 2,
        plugin: Mapping[str, Any] | None = None,
        access: OriginAccess | None = None,
        edit_edge: Edit | None = None,
        edit_signer: Edit | None = None,
        wasm: Path = WASM,
    ) -> None:
        self._run_dir = run_dir
        self._origin = origin
        self._place = render.Place(
            store, bucket or store.bucket, run_dir, render.virtual_hosted(plugin or {})
        )
        self.wiring = wiring
        self._port = port
        self._workers = workers
        self._plugin = plugin or {}
        self._access = access
        self._edit_edge = edit_edge
        self._edit_signer = edit_signer
        self._wasm = wasm
        self._running = ExitStack()
        self.edge: Envoy
        self.signer: Envoy
        self.url: str

    def __enter__(self) -> Stack:
        self._run_dir.mkdir(parents=True, exist_ok=True)
        if self._port:
            require_free(self._port)
        try:
            self.signer = self._start_signer()
            self.edge = self._start_edge()
        except BaseException:
            self._running.close()
            raise
        self.url = self.edge.url
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()

    def _start_signer(self) -> Envoy:
        config = render.signer(self._place, self._plugin)
        if self._edit_signer:
            self._edit_signer(config)
        return self._start("signer", config, SIGNER_WORKERS)

    def _start_edge(self) -> Envoy:
        config = render.edge(
            self._place,
            wiring=self.wiring,
            port=self._port,
            origin=self._origin,
            signer_port=self.signer.port,
            wasm=self._wasm,
            plugin=self._plugin,
            workers=self._workers,
            access=self._access,
        )
        if self._edit_edge:
            self._edit_edge(config)
        return self._start("edge", config, self._workers)

    def _start(self, name: str, config: dict[str, Any], workers: int) -> Envoy:
        envoy = Envoy(name, config, self._run_dir, workers=workers)
        envoy.start()
        self._running.callback(envoy.stop)
        return envoy
