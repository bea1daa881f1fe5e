"""A configuration that changes, or a VM that dies, while objects are filled: every waiting client is
answered.
"""

from __future__ import annotations

import json
import os
import re
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

import stack.stack
from doubles import ScriptedOrigin, StrictBucket
from doubles.large_origin import Large, LargeOrigin
from stack import Envoy, Stack
from stack.render import plugin_of

from .client import Connection
from .conftest import Start, Unique
from .site import PATIENCE, Site, eventually

BODY = b"an object\n" * 500
MIB = 1 << 20


# A configuration that changes.


class Listeners:
    """The edge's listener in a file that Envoy watches. A change is a rename, as an operator does it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._versions = 0
        self._listener: dict[str, Any]

    def move_out_of(self, edge: dict[str, Any]) -> None:
        """Moves the listener out of an edge. A stack takes this as its `edit_edge`."""
        (self._listener,) = edge["static_resources"].pop("listeners")
        self._write()
        edge["node"] = {"id": "edge", "cluster": "edge"}  # Envoy wants a name where it is told its listeners.
        edge["dynamic_resources"] = {"lds_config": {"path_config_source": {"path": str(self._path)}}}

    def change(self, site: Site, **plugin: Any) -> None:
        """Replaces fields of the plugin's configuration. Returns when all workers have it."""
        module = plugin_of({"static_resources": {"listeners": [self._listener]}})
        configuration = json.loads(module["configuration"]["value"])
        module["configuration"]["value"] = json.dumps({**configuration, **plugin})
        self._write()
        eventually(lambda: stat(site, "listener_manager.lds.update_success"), self._versions)
        eventually(lambda: stat(site, "listener_manager.total_listeners_warming"), 0)

    def _write(self) -> None:
        self._versions += 1
        listener = {"@type": "type.googleapis.com/envoy.config.listener.v3.Listener", **self._listener}
        new = self._path.with_suffix(".new")
        new.write_text(json.dumps({"version_info": str(self._versions), "resources": [listener]}))
        os.replace(new, self._path)


class ImpatientEnvoy(Envoy):
    """Gives the connections of an old configuration a second, not ten minutes."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._argv += ["--drain-time-s", "1"]


@pytest.fixture
def listeners(tmp_path: Path) -> Listeners:
    return Listeners(tmp_path / "listeners.json")


def test_a_fill_survives_a_change_and_new_clients_get_the_new_configuration(
    start: Start, listeners: Listeners, unique: Unique
) -> None:
    site = start(workers=2, edit_edge=listeners.move_out_of)
    old, new = unique("old"), unique("new")
    for path in (old, new):
        site.origin.put(path, BODY)
    gate = site.origin.hold(old)
    with ExitStack() as connections:
        waiting = [connections.enter_context(site.open()) for _ in range(20)]
        for client in waiting:
            client.send("GET", old)
        site.store.requests.wait(lambda call: call.key == old[1:], len(waiting))
        listeners.change(site, location="https://cdn.example.com")
        redirect = site.ask(new)
        assert (redirect.status, redirect.header("location")) == (302, f"https://cdn.example.com{new}")
        gate.open()
        answers = [client.receive("GET") for client in waiting]
    assert {(answer.status, answer.header("location")) for answer in answers} == {(302, old)}
    assert {site.ask(path).body for path in (old, new)} == {BODY}
    assert site.origin.count(old) == 1


def test_no_request_fails_while_the_configuration_changes(
    start: Start, listeners: Listeners, unique: Unique
) -> None:
    site = start(workers=2, edit_edge=listeners.move_out_of)
    for number in range(5):
        paths = [unique(f"{number}-{each}") for each in range(20)]
        for path in paths:
            site.origin.put(path, BODY)
        with ExitStack() as connections:
            clients = [connections.enter_context(site.open()) for _ in paths]
            for client, path in zip(clients, paths, strict=True):
                client.send("GET", path)
            listeners.change(site, wait=f"{10 + number}s")
            answers = [client.receive("GET") for client in clients]
        assert {(answer.status, answer.outcome) for answer in answers} == {(302, "stored")}
        assert {site.ask(path).body for path in paths} == {BODY}


def test_a_fill_that_nobody_waits_for_ends_after_its_configuration(
    tmp_path: Path, listeners: Listeners, unique: Unique, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Envoy drops the connections of the old configuration in the middle of an upload."""
    monkeypatch.setattr(stack.stack, "Envoy", ImpatientEnvoy)
    path, film = unique("film.mp4"), Large(20 * MIB)
    with (
        LargeOrigin() as origin,
        StrictBucket() as store,
        Stack(
            tmp_path, origin=origin.url, store=store, workers=1, edit_edge=listeners.move_out_of
        ) as running,
    ):
        site = Site(running, store, origin)
        origin.put(path, film)
        gate = origin.hold(path, at=16 * MIB)
        with site.open() as client:
            client.send("GET", path)
            store.requests.wait(lambda call: call.operation == "UploadPart")
        listeners.change(site, wait="5s")
        eventually(lambda: stat(site, "listener_manager.listener_in_place_updated"), 1)
        eventually(lambda: stat(site, "listener_manager.total_filter_chains_draining"), 0)
        gate.open()
        store.requests.wait(lambda call: call.operation == "CompleteMultipartUpload", timeout=PATIENCE)
        assert site.ask(path).body == film.content(range(film.size))
        assert store.uploads.open() == []
        eventually(site.gauges, (0, 0))
        site.assert_module_healthy()


# A VM that dies.

IDLE_TIMEOUT = 20
"""The seconds after which Envoy answers a stream whose filter never will. Longer than a lease of 10 s."""

TOO_SMALL_A_BUFFER = 4096
"""Bytes. If the module itself puts more into Envoy's buffer, Envoy fails the stream inside that host call.
The SDK, which is borrowed then, panics. No other way to kill a VM at will is known.
"""


def frail(edge: dict[str, Any]) -> None:
    (listener,) = edge["static_resources"]["listeners"]
    listener["per_connection_buffer_limit_bytes"] = TOO_SMALL_A_BUFFER
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    manager["stream_idle_timeout"] = f"{IDLE_TIMEOUT}s"


def test_a_dead_vm_costs_its_own_streams_and_another_worker_takes_over(
    tmp_path: Path, origin: ScriptedOrigin, unique: Unique
) -> None:
    path, poison = unique(), unique("poison")
    origin.put(path, BODY)
    origin.put(poison, bytes(2 * TOO_SMALL_A_BUFFER))
    gate = origin.hold(path)
    with (
        StrictBucket() as store,
        Stack(tmp_path, origin=origin.url, store=store, workers=2, edit_edge=frail) as running,
        ExitStack() as connections,
    ):
        site = Site(running, store, origin)
        store.fault("PutObject", poison[1:], times=100, status=403, code="AccessDenied")
        leader, killer, later = (on_worker(site, 0, connections) for _ in range(3))
        follower = on_worker(site, 1, connections)
        leader.send("GET", path)
        origin.wait_for(path)
        follower.send("GET", path)
        store.requests.wait(lambda call: call.key == path[1:], 2)
        killer.send("GET", poison)
        eventually(lambda: bool(re.search("panicked|Uncaught", log_of(site))), True)
        gate.open()
        # The dead worker's lease has to run out; then the other one fills.
        answer = follower.receive("GET")
        assert (answer.status, answer.outcome) == (302, "stored")
        assert site.follow(answer).body == BODY
        assert origin.count(path) == 2
        # Only Envoy is left to answer it.
        assert leader.receive("GET").status == 504
        other = unique("other")
        origin.put(other, BODY)
        later.send("GET", other)
        assert later.receive("GET").outcome == "stored"
        # The dead worker's share of the gauges, of its two fills and its clients, went with it.
        eventually(site.gauges, (0, 0))
        assert stat(site, "wasm.mirror_on_miss.vm_reload_success") == 1


def on_worker(site: Site, worker: int, connections: ExitStack) -> Connection:
    """Opens a connection that the kernel gave to that worker. Others stay open beside it."""
    for _ in range(100):
        before = active(site, worker)
        connection = connections.enter_context(site.open())
        # Once it is answered it is accepted, and counted.
        connection.send("GET", "/")
        connection.receive("GET")
        if active(site, worker) > before:
            return connection
    raise AssertionError(f"no connection to worker {worker}")


def active(site: Site, worker: int) -> int:
    """Returns the number of a worker's connections."""
    stats = site.stats(f"worker_{worker}.downstream_cx_active")
    return sum(value for name, value in stats.items() if "admin" not in name)


def stat(site: Site, name: str) -> int:
    return site.stats(name).get(name, 0)


def log_of(site: Site) -> str:
    return site.log()
