"""The facts on which .github/workflows and the rest of the project must agree. `make lint` judges each."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from stack.render import CHECKOUT

from . import __main__ as release
from . import chart

WORKFLOWS = {path.name: path.read_text() for path in (CHECKOUT / ".github/workflows").glob("*.yml")}
DEPENDABOT = yaml.safe_load((CHECKOUT / ".github/dependabot.yml").read_text())
DOCKERFILE = (CHECKOUT / "envoy" / "Dockerfile").read_text()


def jobs(workflow: str) -> dict[str, Any]:
    return yaml.safe_load(WORKFLOWS[workflow])["jobs"]


def test_all_build_with_one_rust() -> None:
    named = {version for text in WORKFLOWS.values() for version in re.findall("TOOLCHAIN: (.*)", text)}
    assert named == set(re.findall(r"^FROM rust:([\d.]+)", DOCKERFILE, re.MULTILINE))


@pytest.mark.parametrize(
    ("workflow", "job", "goals"),
    [
        ("ci.yml", "check", {"lint", "test", "msrv", "deny"}),
        ("weekly.yml", "explore", {"fuzz", "chaos", "compat", "clients", "deny", "kubernetes", "stores"}),
    ],
)
def test_workflows_run_what_people_run(workflow: str, job: str, goals: set[str]) -> None:
    checks = jobs(workflow)[job]
    assert set(checks["strategy"]["matrix"]["goal"]) == goals
    assert checks["env"]["GOAL"] == "${{ matrix.goal }}"
    assert {"run": 'make "$GOAL"'} in checks["steps"]
    assert goals <= set(re.findall(r"^([a-z-]+):.*## ", (CHECKOUT / "Makefile").read_text(), re.MULTILINE))


def test_ci_runs_what_a_fresh_machine_runs() -> None:
    run = re.findall(r"^make (\w+)$", (CHECKOUT / ".ci" / "run").read_text(), re.MULTILINE)
    assert run == ["lint", "test"]
    assert set(run) <= set(jobs("ci.yml")["check"]["strategy"]["matrix"]["goal"])


@pytest.mark.parametrize(
    ("ecosystem", "name"),
    [
        ("cargo", "Cargo.lock"),
        ("docker", "Dockerfile"),
        ("docker-compose", "docker-compose*.yaml"),
        ("npm", "package-lock.json"),
        ("uv", "requirements.txt"),
    ],
)
def test_dependabot_looks_after_all_that_is_pinned(ecosystem: str, name: str) -> None:
    argv = ["git", "ls-files", name, f"*/{name}"]
    said = subprocess.run(argv, cwd=CHECKOUT, check=True, capture_output=True, text=True).stdout
    pinned = {str(Path("/", file).parent) for file in said.split()}
    (update,) = (each for each in DEPENDABOT["updates"] if each["package-ecosystem"] == ecosystem)
    assert pinned
    assert pinned <= set(update["directories"])


def test_a_release_is_tested_built_and_only_then_published() -> None:
    assert set(jobs("release.yml")["publish"]["needs"]) == {"build", "test"}
    assert jobs("release.yml")["test"]["uses"].endswith("/ci.yml")


def test_only_the_job_that_runs_no_code_of_ours_may_write() -> None:
    may_write = {
        name: [
            each
            for each in job["steps"]
            if "checkout" in each.get("uses", "") or "make" in each.get("run", "")
        ]
        for workflow in WORKFLOWS
        for name, job in jobs(workflow).items()
        if "write" in job["permissions"].values()
    }
    assert may_write == {"publish": []}


def test_every_action_is_pinned_by_its_commit_and_says_its_version() -> None:
    for text in WORKFLOWS.values():
        for used in re.findall(r"uses: ([^.].*)", text):
            assert re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", used), used


def test_what_is_published_is_what_was_checked() -> None:
    (upload,) = (each for each in jobs("release.yml")["build"]["steps"] if "upload" in each.get("uses", ""))
    assert CHECKOUT / upload["with"]["path"] == release.OUT


def test_the_chart_is_attested_pushed_and_released_as_the_module_is() -> None:
    steps = jobs("release.yml")["publish"]["steps"]
    (attested,) = (
        each["with"]["subject-path"].split() for each in steps if "/attest@" in each.get("uses", "")
    )
    assert attested == ["mirror_on_miss.wasm", "mirror-on-miss-linux-*", f"{chart.NAME}-*.tgz"]
    scripts = [each.get("run", "") for each in steps]
    assert any(f'helm push "{chart.NAME}-${{GITHUB_REF_NAME#v}}.tgz"' in script for script in scripts)
    assert any(f"{chart.NAME}-*.tgz " in script for script in scripts if "gh release create" in script)


@pytest.mark.parametrize("workflow", WORKFLOWS)
def test_shellcheck_finds_nothing(workflow: str) -> None:
    scripts = [
        step["run"] for job in jobs(workflow).values() for step in job.get("steps", []) if "run" in step
    ]
    for script in scripts:
        argv = [Path(sys.prefix, "bin", "shellcheck"), "--shell=bash", "-"]
        done = subprocess.run(argv, input=script, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout
