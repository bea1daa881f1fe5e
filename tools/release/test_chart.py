"""The chart's package: the same bytes wherever and whenever it is made."""

from __future__ import annotations

import io
import os
import shutil
import tarfile
from pathlib import Path

import pytest

from stack.render import CHECKOUT

from . import chart
from .failure import ReleaseError

TIME = 1_700_000_000


def copy(directory: Path, *, age: int) -> Path:
    """Copies what a chart is made of, with another time for every file."""
    shutil.copytree(CHECKOUT / "envoy" / "chart", directory / "envoy" / "chart")
    shutil.copy(CHECKOUT / "Cargo.toml", directory)
    for path in directory.rglob("*"):
        os.utime(path, (TIME - age, TIME - age))
    return directory


def test_two_packages_are_the_same_bytes(tmp_path: Path) -> None:
    packages = [chart.package(copy(tmp_path / str(age), age=age), time=TIME) for age in (1000, 2000)]
    assert packages[0] == packages[1]
    name, package = packages[0]
    assert chart.check(tmp_path / "1000", name, package) > 20
    with tarfile.open(fileobj=io.BytesIO(package)) as tar:
        assert {(each.mtime, each.mode, each.uid, each.uname) for each in tar} == {(TIME, 0o644, 0, "")}
        assert "mirror-on-miss/files/configuration/edge.yaml" in tar.getnames()


def test_another_version_than_the_module_s_is_refused(tmp_path: Path) -> None:
    checkout = copy(tmp_path / "checkout", age=0)
    name, package = chart.package(checkout, time=TIME)
    file = checkout / "Cargo.toml"
    file.write_text(file.read_text().replace('\nversion = "', '\nversion = "9'))
    with pytest.raises(ReleaseError, match="the module has the version 9"):
        chart.check(checkout, name, package)


def test_a_package_of_something_else_is_refused(tmp_path: Path) -> None:
    checkout = copy(tmp_path / "checkout", age=0)
    name, package = chart.package(checkout, time=TIME)
    file = checkout / "envoy" / "chart" / "files" / "configuration" / "edge.yaml"
    file.write_text(file.read_text() + "# changed\n")
    with pytest.raises(ReleaseError, match="other objects"):
        chart.check(checkout, name, package)
