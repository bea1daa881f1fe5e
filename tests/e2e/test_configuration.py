"""Wrong configurations of the plugin: `envoy --mode validate` shows every problem, and the allowed values."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from stack.envoy import binary
from stack.render import CHECKOUT, plugin_of, shipped

from .site import Site

WRONG = {
    "bucket": {"cluster": "", "authority": "no host", "exposed": "sideways"},
    "origin": {"cluster": "origin", "authority": "files.example.com", "timeout": "soon", "follow": 3},
    "rules": [{"prefix": "img", "on_403": "maybe", "too_large": "perhaps", "origins": ["nobody"]}],
    "limits": {"part_size": "1KiB", "fills": 0, "queue": -1},
    "wait": 25,
    "colour": "blue",
}

EXPECTED = [
    ("$.bucket.authority", '"no host"', "host"),
    ("$.bucket.cluster", '""', ""),
    ("$.bucket.exposed", '"sideways"', '"path"'),
    ("$.colour", "", "bucket"),
    ("$.limits.fills", "0", "1"),
    ("$.limits.part_size", '"1KiB"', "5MiB"),
    ("$.limits.queue", "-1", "0"),
    ("$.origin.follow", "", "timeout"),
    ("$.origin.timeout", '"soon"', "10m"),
    ("$.rules[0].on_403", '"maybe"', '"check"'),
    ("$.rules[0].origins[0]", '"nobody"', "origin"),
    ("$.rules[0].prefix", '"img"', "/"),
    ("$.rules[0].too_large", '"perhaps"', '"error"'),
    ("$.wait", "25", "duration"),
]


def test_every_problem_is_shown_with_its_path_its_value_and_what_is_allowed(
    strict: Site, tmp_path: Path
) -> None:
    code, log = validate(strict, tmp_path, json.dumps(WRONG))
    assert code == 1
    for path, value, allowed in EXPECTED:
        lines = [line for line in log.splitlines() if f"{path} " in line or f"{path}:" in line]
        assert len(lines) == 1, f"{path} is in {lines} of:\n{log}"
        assert value in lines[0]
        assert allowed in lines[0]


def test_what_is_no_json_is_said_to_be_none(strict: Site, tmp_path: Path) -> None:
    for text in ("", "{", "null", "[]"):
        code, log = validate(strict, tmp_path, text)
        assert code == 1
        assert any("$" in line for line in log.splitlines()), log
        assert "panicked" not in log


def test_a_secret_that_is_wrong_is_not_shown(strict: Site, tmp_path: Path) -> None:
    config = {
        "bucket": {"cluster": "signer", "authority": "s3.example.com"},
        "origin": {
            "cluster": "origin",
            "authority": "files.example.com",
            "headers": {"authorization": "Bearer s3cret\u00e4", "x-token": {"env": "NOT_SET"}},
        },
    }
    code, log = validate(strict, tmp_path, json.dumps(config))
    assert (code, "s3cret" in log) == (1, False)
    assert "$.origin.headers.authorization" in log
    assert "NOT_SET" in log


def test_the_configuration_that_runs_is_valid(strict: Site, seaweed: Site) -> None:
    for site in (strict, seaweed):
        for name in ("edge", "signer"):
            config = site.stack.edge.log_path.with_name(f"{name}.json")
            assert run_envoy(config) == (0, "")


@pytest.mark.parametrize("name", ["edge.yaml", "signer.yaml"])
def test_the_shipped_configuration_is_valid_as_it_stands(name: str, tmp_path: Path) -> None:
    config = tmp_path / name
    config.write_text(shipped(name))
    code, log = run_envoy(config)
    assert code == 0, log


def validate(site: Site, tmp_path: Path, plugin: str) -> tuple[int, str]:
    """Returns Envoy's exit code and log for a stack's edge with another plugin configuration."""
    edge = json.loads(site.stack.edge.log_path.with_name("edge.json").read_text())
    plugin_of(edge)["configuration"]["value"] = plugin
    config = tmp_path / "edge.json"
    config.write_text(json.dumps(edge))
    return run_envoy(config)


def run_envoy(config: Path) -> tuple[int, str]:
    command = [binary(), "--mode", "validate", "--log-level", "warning", "-c", config]
    ended = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=60)
    return ended.returncode, ended.stderr
