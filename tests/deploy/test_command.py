"""`mirror-on-miss check` and `explain` on what kustomize and Helm make: they read what the containers run."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest
import yaml

from e2e.command import command
from stack.render import CHECKOUT

from .helm import template
from .kustomize import build

KUBERNETES = CHECKOUT / "envoy" / "kubernetes"

REAL: dict[str, Any] = {
    "bucket": {"name": "shop", "region": "eu-central-1"},
    "origin": {"url": "https://old.shop.test/files"},
    "module": {"image": {"repository": "registry.shop.test/module"}},
}


def run(objects: list[dict[str, Any]], *arguments: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [command(), *arguments],
        input=yaml.safe_dump_all(objects),
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


SITES = sorted(
    str(file.parent.relative_to(KUBERNETES))
    for file in KUBERNETES.rglob("kustomization.yaml")
    if yaml.safe_load(file.read_text())["kind"] == "Kustomization"
)


@pytest.mark.parametrize("site", SITES)
def test_a_kustomization_is_ok_but_for_its_examples(site: str) -> None:
    objects = build(site)
    assert run(objects, "check", "--with-examples", "-") == (0, "ok\n", "")
    code, said, _ = run(objects, "check", "-")
    assert code == 1
    assert "is an example, and was not replaced" in said


def test_a_chart_with_real_names_is_ok_and_explained_by_its_container() -> None:
    objects = template(REAL)
    assert run(objects, "check", "-") == (0, "ok\n", "")
    code, said, _ = run(objects, "explain", "-", "GET", "/img/a.jpg")
    assert code == 0
    assert "container edge" in said
    assert "GET /files/img/a.jpg at old.shop.test," in said
    assert "PUT /shop/img/a.jpg at s3.eu-central-1.amazonaws.com" in said
