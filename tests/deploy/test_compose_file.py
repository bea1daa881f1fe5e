"""The compose files as they are written; `make compose-test` brings them up."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Any

import pytest
import yaml

from stack.kinds import kinds
from stack.render import CHECKOUT

FILES = ["docker-compose.yaml", "docker-compose.garage.yaml", "docker-compose.seaweedfs.yaml"]
ENVOY = CHECKOUT / "envoy"
ENDS = {"prepare", "bucket"}


def services(name: str = FILES[0]) -> dict[str, dict[str, Any]]:
    return yaml.safe_load((ENVOY / name).read_text())["services"]


@pytest.mark.parametrize("name", FILES)
def test_it_has_the_form_of_a_compose_file(name: str) -> None:
    argv = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", ENVOY / name]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", FILES)
def test_every_image_is_pinned(name: str) -> None:
    for service, parts in services(name).items():
        image = re.sub(r"^\$\{\w+:-(.*)\}$", r"\1", parts.get("image", "mirror-on-miss:local"))
        pinned = re.search(r":[\w.-]*\d[\w.-]*@sha256:[0-9a-f]{64}$", image)
        assert image == "mirror-on-miss:local" or pinned, service


@pytest.mark.parametrize("kind", ["garage", "seaweedfs"])
def test_another_store_is_named_as_what_it_is_to_edge_and_signer(kind: str) -> None:
    for service in ("edge", "signer"):
        told = services(f"docker-compose.{kind}.yaml")[service]["environment"]["STORE_KIND"]
        assert told == f"${{STORE_KIND:-{kind}}}"
    assert kind in kinds()


def test_garage_has_the_region_that_edge_and_signer_sign_for() -> None:
    toml = (ENVOY / "compose" / "garage.toml").read_text()
    (region,) = re.findall(r'^s3_region = "(.*)"$', toml, re.MULTILINE)
    for service in ("edge", "signer"):
        assert services("docker-compose.garage.yaml")[service]["environment"]["AWS_REGION"] == region


def test_everything_is_hardened() -> None:
    for service, parts in services().items():
        assert parts["read_only"], service
        assert parts["cap_drop"] == ["ALL"], service
        assert parts["security_opt"] == ["no-new-privileges:true"], service
        assert service == "prepare" or parts["user"].partition(":")[0] not in ("", "0"), service


def test_what_stays_is_watched_and_comes_back() -> None:
    for service, parts in services().items():
        if service not in ENDS:
            assert parts["healthcheck"]["test"], service
            assert parts["restart"] == "unless-stopped", service


def test_the_writer_s_credential_goes_to_the_signer_alone() -> None:
    holders = {
        credential: {
            service for service, parts in services().items() if f"{credential}:" in str(parts.get("volumes"))
        }
        for credential in ("reader", "writer", "origin")
    }
    assert holders == {"reader": {"edge"} | ENDS, "writer": {"signer"} | ENDS, "origin": {"edge"}}
    told = {service for service, parts in services().items() if "ORIGIN_SAS" in str(parts.get("environment"))}
    assert told == {"edge"}


def test_ports_are_for_this_machine_alone_unless_the_edges_is_bound_elsewhere() -> None:
    for service, parts in services().items():
        for port in parts.get("ports", []):
            assert port.startswith("${BIND:-127.0.0.1}:" if service == "edge" else "127.0.0.1:"), service


def test_prometheus_scrapes_the_status_listeners() -> None:
    (job,) = yaml.safe_load((ENVOY / "observability/prometheus/prometheus.yml").read_text())["scrape_configs"]
    targets = [target for config in job["static_configs"] for target in config["targets"]]
    assert (job["metrics_path"], targets) == ("/stats/prometheus", ["edge:9903", "edge:9904"])
