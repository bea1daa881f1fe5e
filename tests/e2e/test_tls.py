"""TLS at the edge, as `start.sh` makes it of TLS_CERTIFICATE and TLS_KEY: a miss, a hit, and HTTP/2."""

from __future__ import annotations

import copy
import http.client
import json
import socket
import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from stack.render import CHECKOUT, named

from .client import ask
from .conftest import Start, Unique
from .site import Site

START = CHECKOUT / "envoy" / "configuration" / "start.sh"
BODY = b"an object\n"


def print_edge(name: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": "/usr/bin:/bin", **variables}
    return subprocess.run(
        ["sh", START, "print", name], env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """Makes a certificate for localhost with the command of docs/deploy-machine.md."""
    page = (CHECKOUT / "docs" / "deploy-machine.md").read_text()
    (command,) = [line[2:] for line in page.splitlines() if line.startswith("$ openssl req ")]
    subprocess.run(command, shell=True, cwd=tmp_path, check=True, capture_output=True)
    return tmp_path / "fullchain.pem", tmp_path / "privkey.pem"


def tls_port(site: Site) -> int:
    statuses = json.loads(ask(site.stack.edge.admin, "/listeners?format=json").body)["listener_statuses"]
    (own,) = [each for each in statuses if each["name"] == "edge-tls"]
    return own["local_address"]["socket_address"]["port_value"]


def test_clients_get_misses_and_hits_over_tls(
    start: Start, unique: Unique, certificate: tuple[Path, Path]
) -> None:
    chain, key = certificate
    made = print_edge("edge", TLS_CERTIFICATE=str(chain), TLS_KEY=str(key))
    listeners = yaml.safe_load(made.stdout)["static_resources"]["listeners"]
    (filters,) = named(listeners, "edge")["filter_chains"]
    listener = named(listeners, "edge-tls")
    assert listener["filter_chains"][0]["filters"] == filters["filters"], "the same filters"

    def add(edge: dict[str, Any]) -> None:
        own = edge["static_resources"]["listeners"]
        tls = copy.deepcopy(listener)
        tls["filter_chains"][0]["filters"] = copy.deepcopy(named(own, "edge")["filter_chains"][0]["filters"])
        tls["address"]["socket_address"] = {"address": "127.0.0.1", "port_value": 0}
        own.append(tls)

    site = start(edit_edge=add)
    path = unique()
    site.origin.put(path, BODY)
    context = ssl.create_default_context(cafile=str(chain))
    for expected in ((302, "stored", b""), (200, None, BODY)):
        connection = http.client.HTTPSConnection("localhost", tls_port(site), context=context, timeout=40)
        connection.request("GET", path)
        answer = connection.getresponse()
        assert (answer.status, answer.headers["x-mirror-on-miss"], answer.read()) == expected
        connection.close()
    context.set_alpn_protocols(["h2", "http/1.1"])
    with (
        socket.create_connection(("localhost", tls_port(site))) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as secure,
    ):
        assert secure.selected_alpn_protocol() == "h2"
    assert site.ask(path).body == BODY, "plain HTTP is there as well"


@pytest.mark.parametrize("name", ["edge", "transparent"])
def test_only_a_listener_is_added_and_it_takes_all_addresses(name: str) -> None:
    made = print_edge(name, TLS_CERTIFICATE="/c.pem", TLS_KEY="/k.pem", TLS_PORT="443", LISTEN="127.0.0.1")
    before, after = (yaml.safe_load(text) for text in (print_edge(name).stdout, made.stdout))
    listeners = after["static_resources"]["listeners"]
    tls = listeners.pop(-1)
    assert (tls["name"], tls["address"]["socket_address"]["port_value"]) == ("edge-tls", 443)
    assert tls["address"]["socket_address"]["address"] in ("::", "0.0.0.0")
    assert named(listeners, "edge")["address"]["socket_address"]["address"] == "127.0.0.1"
    named(listeners, "edge")["address"] = named(before["static_resources"]["listeners"], "edge")["address"]
    assert after == before


@pytest.mark.parametrize(
    "wrong",
    [
        {"TLS_KEY": "/k"},
        {"TLS_CERTIFICATE": "/c"},
        {"TLS_CERTIFICATE": "/c", "TLS_KEY": "/k", "TLS_PORT": "x"},
    ],
)
def test_half_a_certificate_and_a_wrong_port_are_refused(wrong: dict[str, str]) -> None:
    made = print_edge("edge", **wrong)
    assert (made.returncode, made.stdout) == (1, "")
    assert "TLS_" in made.stderr
