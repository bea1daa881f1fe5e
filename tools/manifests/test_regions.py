"""What a manifest takes from Envoy's configuration, and what it does not."""

from __future__ import annotations

import pytest

from .excerpts import Source
from .regions import filled

EDGE = """\
admin: {port: 1}
static_resources:
  clusters:
  - name: bucket
    connect_timeout: 1s

  # Of the list.
  - name: origin
    connect_timeout: 5s
    # Why it is so.
    thresholds:
    - {max: 128}  # spared
    text: |
      first
        second

    options: &options
      a: 1
  - name: other
    options: *options
  # The end.
"""


def fill(manifest: str, edge: str = EDGE) -> str:
    return filled(manifest, {"edge.yaml": Source("edge.yaml", edge)})


def between(path: str) -> str:
    marked = fill(f"x:\n    # <edge.yaml: {path}>\n    old: 1\n    # </edge.yaml>\nafter: 2\n")
    assert marked.startswith(f"x:\n    # <edge.yaml: {path}>\n")
    assert marked.endswith("\n    # </edge.yaml>\nafter: 2\n")
    return "\n".join(marked.splitlines()[2:-2])


def test_a_part_comes_with_its_comments_at_the_manifest_s_own_indent() -> None:
    assert between("clusters/origin") == (
        "    name: origin\n"
        "    connect_timeout: 5s\n"
        "    # Why it is so.\n"
        "    thresholds:\n"
        "    - {max: 128}  # spared\n"
        "    text: |\n"
        "      first\n"
        "        second\n"
        "\n"
        "    options: &options\n"
        "      a: 1"
    )


def test_an_anchored_part_and_its_aliases_are_one() -> None:
    assert between("options") == "    a: 1"


def test_a_value_takes_the_place_of_the_one_before_the_mark() -> None:
    manifest = "- wait: 9s  # <edge.yaml: origin/connect_timeout>\n  other: 9s\n"
    assert fill(manifest) == "- wait: 5s  # <edge.yaml: origin/connect_timeout>\n  other: 9s\n"
    assert "wait: 7s" in fill(manifest, EDGE.replace("5s", "7s"))


def test_writing_twice_changes_nothing() -> None:
    once = fill("x:\n  # <edge.yaml: clusters/origin>\n  # </edge.yaml>\ny: 1  # <edge.yaml: admin>\n")
    assert fill(once) == once


def test_a_part_that_needs_another_one_is_refused() -> None:
    with pytest.raises(LookupError, match="line 19, cannot stand alone"):
        between("clusters/other")


@pytest.mark.parametrize(("path", "count"), [("connect_timeout", 2), ("origin/no_such", 0)])
def test_a_path_leads_to_one_value(path: str, count: int) -> None:
    with pytest.raises(LookupError, match=f"has {count} values"):
        fill(f"wait: 9s  # <edge.yaml: {path}>\n")


def test_a_setting_of_the_edge_s_module_reaches_other_forms() -> None:
    edge = """\
configuration:
  value: |
    {"bucket": {"cluster": "signer", "authority": "s3", "path_prefix": "/b", "keys": "exact"},
     "origin": {"cluster": "origin", "authority": "files"}, "wait": "24s"}
"""
    manifest = "x:\n  # <edge.yaml: configuration/value | {}>\n  # </edge.yaml>\n"
    fields = fill(manifest.format("fields"), edge)
    assert "  bucket: {cluster: signer, authority: s3, path_prefix: /b, keys: exact}\n" in fields
    assert "  wait: 24s\n" in fields
    variables = fill(manifest.format("variables"), edge)
    assert '"path_prefix": {"env": "BUCKET"},\n' in variables
    assert '"keys": "exact"\n' in variables
    assert '"wait": "24s"\n' in variables
