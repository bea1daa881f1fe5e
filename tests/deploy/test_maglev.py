"""The front tier of components/maglev, live: requests for one object meet in one replica."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import yaml

from doubles import ScriptedOrigin
from e2e.client import ask
from stack import Envoy
from stack.render import CHECKOUT, named

FRONT = CHECKOUT / "envoy" / "configuration" / "front.yaml"
REPLICAS = 3


@pytest.fixture
def tier(tmp_path: Path) -> Iterator[tuple[Envoy, list[ScriptedOrigin]]]:
    config = yaml.safe_load(FRONT.read_text())
    config["admin"]["address"]["socket_address"]["port_value"] = 0
    (listener,) = config["static_resources"]["listeners"]
    listener["address"]["socket_address"] = {"address": "127.0.0.1", "port_value": 0}
    cluster = named(config["static_resources"]["clusters"], "replicas")
    del cluster["health_checks"]  # They would ask a port that replicas here do not have.
    with ExitStack() as running:
        replicas = [running.enter_context(ScriptedOrigin()) for _ in range(REPLICAS)]
        addresses = ({"address": "127.0.0.1", "port_value": replica.port} for replica in replicas)
        places = [{"endpoint": {"address": {"socket_address": address}}} for address in addresses]
        cluster["load_assignment"]["endpoints"] = [{"lb_endpoints": places}]
        front = Envoy("front", config, tmp_path, workers=1)
        front.start()
        running.callback(front.stop)
        yield front, replicas


def test_one_object_is_asked_of_one_replica(tier: tuple[Envoy, list[ScriptedOrigin]]) -> None:
    front, replicas = tier
    for query in ("", "?v=1", "?v=2&w", "?"):
        ask(front.url, f"/img/a.jpg{query}")
    assert sorted(replica.count("/img/a.jpg") for replica in replicas) == [0, 0, 4]


def test_objects_are_spread_over_the_replicas(tier: tuple[Envoy, list[ScriptedOrigin]]) -> None:
    front, replicas = tier
    paths = [f"/img/{number}.jpg" for number in range(60)]
    for path in paths:
        ask(front.url, path)
    shares = [sum(replica.count(path) for path in paths) for replica in replicas]
    assert sum(shares) == len(paths)
    assert min(shares) > 0
