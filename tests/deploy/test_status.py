"""status.yaml and admin.sh on a live Envoy: the operators' questions, and the draining."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from e2e.client import ask
from stack import Envoy
from stack.children import free_ports
from stack.render import CHECKOUT, named

CONFIGURATION = CHECKOUT / "envoy" / "configuration"


def address_of_admin(config: dict[str, Any]) -> dict[str, Any]:
    cluster = named(config["static_resources"]["clusters"], "admin")
    (place,) = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"]
    return place["endpoint"]["address"]["socket_address"]


@pytest.fixture
def operated(tmp_path: Path) -> Iterator[Envoy]:
    (port,) = free_ports(1)
    config = yaml.safe_load((CONFIGURATION / "status.yaml").read_text())
    (listener,) = config["static_resources"]["listeners"]
    listener["address"]["socket_address"] = {"address": "127.0.0.1", "port_value": 0}
    address_of_admin(config)["port_value"] = port
    config["admin"] = {"address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}}
    running = Envoy("status", config, tmp_path, workers=1)
    running.start()
    yield running
    running.stop()


def admin(running: Envoy, *arguments: str) -> subprocess.CompletedProcess[str]:
    argv = ["bash", CONFIGURATION / "admin.sh", *arguments, running.admin.rpartition(":")[2]]
    return subprocess.run(argv, capture_output=True, text=True, check=False)


def test_it_says_whether_it_is_ready_and_its_metrics(operated: Envoy) -> None:
    assert ask(operated.url, "/ready").status == 200
    assert b"envoy_server_live" in ask(operated.url, "/stats/prometheus").body


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/config_dump"),
        ("POST", "/healthcheck/fail"),
        ("POST", "/quitquitquit"),
        ("POST", "/ready"),
    ],
)
def test_the_rest_of_the_admin_interface_is_not_reached(operated: Envoy, method: str, path: str) -> None:
    assert ask(operated.url, path, method).status == 404
    assert ask(operated.url, "/ready").status == 200


def test_an_answer_is_printed_and_its_status_is_the_exit_code(operated: Envoy) -> None:
    ready = admin(operated, "GET", "/ready")
    assert ready.returncode == 0
    assert "LIVE" in ready.stdout
    assert admin(operated, "GET", "/no-such-page").returncode != 0


def test_who_drains_is_not_ready_and_serves_on(operated: Envoy) -> None:
    assert admin(operated, "drain", "0").returncode == 0
    assert ask(operated.url, "/ready").status == 503
    assert admin(operated, "GET", "/ready").returncode != 0
    assert ask(operated.url, "/stats/prometheus").status == 200


@pytest.mark.parametrize("name", ["edge", "signer"])
def test_it_asks_the_admin_interface_of_the_shipped_files(name: str) -> None:
    """start.sh moves the ports for the signer: both Envoys may share a network namespace."""
    shipped = yaml.safe_load((CONFIGURATION / f"{name}.yaml").read_text())
    status = yaml.safe_load((CONFIGURATION / "status.yaml").read_text())
    expected = {"edge": address_of_admin(status), "signer": {**address_of_admin(status), "port_value": 9902}}
    assert shipped["admin"]["address"]["socket_address"] == expected[name]
