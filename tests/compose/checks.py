"""Checks of the containers that `python -m compose` has started."""

from __future__ import annotations

import json
import os
import subprocess
import time
import uuid
from collections.abc import Callable
from urllib.request import urlopen

import pytest
import yaml

from e2e.client import Answer, ask
from stack.render import CHECKOUT
from stack.stack import WASM

OBSERVABILITY = CHECKOUT / "envoy" / "observability"

TOLD = {
    name.removeprefix("COMPOSE_TEST_"): value
    for name, value in os.environ.items()
    if name.startswith("COMPOSE_TEST_")
}
PATIENCE = 90.0
"""The seconds for events that happen by themselves: health checks every 5, scrapes every 15."""


def get(path: str, method: str = "GET") -> Answer:
    return ask(f"http://127.0.0.1:{TOLD['PORT']}", path, method)


def docker(*arguments: str) -> str:
    env = {**os.environ, "DOCKER_HOST": TOLD["DOCKER_HOST"]}
    return subprocess.run(["docker", *arguments], env=env, capture_output=True, text=True, check=True).stdout


def container(service: str) -> dict:
    name = docker("ps", "--all", "--quiet", "--filter", f"label=com.docker.compose.service={service}").strip()
    (found,) = json.loads(docker("inspect", name))
    return found


def execute(service: str, *command: str) -> subprocess.CompletedProcess[str]:
    argv = ["docker", "exec", container(service)["Id"], *command]
    return subprocess.run(
        argv, env={**os.environ, "DOCKER_HOST": TOLD["DOCKER_HOST"]}, capture_output=True, text=True
    )


def eventually(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, holds
        time.sleep(0.5)


RUNNING = ["edge", "signer", "store", "origin", "prometheus", "grafana"]


@pytest.mark.parametrize("service", RUNNING)
def test_a_service_becomes_healthy(service: str) -> None:
    eventually(lambda: container(service)["State"]["Health"]["Status"] == "healthy")


@pytest.mark.parametrize("service", ["prepare", "bucket"])
def test_what_prepares_has_ended_well(service: str) -> None:
    state = container(service)["State"]
    assert (state["Running"], state["ExitCode"]) == (False, 0)


def test_the_first_request_fills_and_the_second_is_served_by_the_bucket() -> None:
    eventually(lambda: get("/index.html").status in (200, 302))
    miss = get("/img/harbour.svg")
    assert (miss.status, miss.header("location"), miss.outcome) == (302, "/img/harbour.svg", "stored")
    hit = get("/img/harbour.svg")
    assert (hit.status, hit.outcome, hit.header("content-type")) == (200, None, "image/svg+xml")
    assert hit.body.startswith(b"<svg")


def test_the_module_built_in_a_container_is_that_of_make_wasm() -> None:
    module = execute("edge", "od", "-An", "-v", "-tx1", "/opt/mirror-on-miss/plugin.wasm").stdout
    assert bytes.fromhex(module) == WASM.read_bytes()


def test_what_the_origin_does_not_have_is_missing() -> None:
    answer = get(f"/{uuid.uuid4().hex}")
    assert (answer.status, answer.outcome) == (404, "not_found")


def test_a_key_that_must_be_escaped() -> None:
    path = "/notes/a%20walk%20to%20the%20lighthouse.txt"
    assert get(path).status == 302
    assert get(path).status == 200


def test_only_the_signer_holds_the_credential_that_writes() -> None:
    assert "writer" in execute("signer", "cat", "/etc/mirror-on-miss/writer.credentials").stdout
    for service in RUNNING:
        held = json.dumps(container(service)["Mounts"])
        assert ("_writer" in held) == (service == "signer"), service
        assert ("_reader" in held) == (service == "edge"), service
        assert "aws_secret" not in json.dumps(container(service)["Config"]["Env"])


def test_the_signer_is_reached_through_the_edge_s_loopback_alone() -> None:
    assert container("signer")["HostConfig"]["NetworkMode"] == f"container:{container('edge')['Id']}"
    address = next(iter(container("edge")["NetworkSettings"]["Networks"].values()))["IPAddress"]
    knock = "exec 3<>/dev/tcp/$0/10001"
    assert execute("edge", "bash", "-c", knock, "127.0.0.1").returncode == 0
    assert execute("edge", "bash", "-c", knock, address).returncode != 0


@pytest.mark.parametrize("service", RUNNING)
def test_nobody_is_root_or_can_write_to_the_image(service: str) -> None:
    found = container(service)
    assert found["Config"]["User"].partition(":")[0] not in ("", "0")
    assert found["HostConfig"]["ReadonlyRootfs"]
    assert found["HostConfig"]["CapDrop"] == ["ALL"]


def test_prometheus_scrapes_both() -> None:
    def up() -> dict[str, str]:
        with urlopen(
            f"http://127.0.0.1:{TOLD['PROMETHEUS_PORT']}/api/v1/query?query=up", timeout=10
        ) as response:
            result = json.load(response)["data"]["result"]
        return {sample["metric"]["role"]: sample["value"][1] for sample in result}

    eventually(lambda: up() == {"edge": "1", "signer": "1"})


def test_the_admin_interface_stays_inside() -> None:
    address = next(iter(container("edge")["NetworkSettings"]["Networks"].values()))["IPAddress"]
    request = r"GET %s HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"
    knock = f"exec 3<>/dev/tcp/$0/$1 && printf '{request}' $2 >&3 && head -1 <&3"
    answers = {
        path: execute("edge", "bash", "-c", knock, address, "9903", path).stdout
        for path in ("/ready", "/config_dump")
    }
    assert "200" in answers["/ready"]
    assert "404" in answers["/config_dump"]
    assert execute("edge", "bash", "-c", knock, address, "9901", "/ready").returncode != 0


def test_prometheus_has_every_rule() -> None:
    files = [OBSERVABILITY / "prometheus" / name for name in ("alerts.yml", "progress.yml")]
    shipped = [yaml.safe_load(file.read_text()) for file in files]
    with urlopen(f"http://127.0.0.1:{TOLD['PROMETHEUS_PORT']}/api/v1/rules", timeout=10) as response:
        loaded = json.load(response)["data"]["groups"]
    assert {rule["name"] for group in loaded for rule in group["rules"]} == {
        rule.get("alert") or rule["record"]
        for file in shipped
        for group in file["groups"]
        for rule in group["rules"]
    }


def test_grafana_reads_what_is_provisioned() -> None:
    """The stand-in reports the files that it found; the real one reports its health."""
    with urlopen(f"http://127.0.0.1:{TOLD['GRAFANA_PORT']}/api/health", timeout=10) as response:
        found = json.load(response)
    shipped = [json.loads(file.read_text()) for file in OBSERVABILITY.glob("grafana/dashboards/*.json")]
    assert found["dashboards"] == [dashboard["title"] for dashboard in shipped]


def test_draining_says_so_before_it_ends() -> None:
    """This check is last: only a restart undoes it."""
    assert execute("edge", "/opt/mirror-on-miss/admin.sh", "drain", "0").returncode == 0
    assert execute("edge", "/opt/mirror-on-miss/admin.sh", "GET", "/ready").returncode != 0
    assert get("/img/harbour.svg").status == 200
