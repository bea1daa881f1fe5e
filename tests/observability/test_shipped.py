"""Alerts and dashboard by themselves. tests/e2e looks for their metrics in a live scrape."""

from __future__ import annotations

import re
from pathlib import Path

import promql_parser
import pytest

from .shipped import CHECKOUT, DASHBOARD, alert_tests, alerts, documented, panels, records, selectors

ALERTS = {rule["alert"]: rule for rule in alerts()}
PAGES = "https://github.com/mirror-on-miss/mirror-on-miss/blob/main/"
"""Where the pages are for somebody who is called at night."""


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_can_be_read_and_leads_to_its_page(alert: str) -> None:
    rule = ALERTS[alert]
    assert promql_parser.parse(rule["expr"])
    assert re.fullmatch(r"MirrorOnMiss[A-Z]\w+", alert)
    assert rule["labels"]["severity"] in ("critical", "warning")
    annotations = rule["annotations"]
    assert set(annotations) == {"summary", "description", "runbook_url"}
    assert annotations["runbook_url"].startswith(PAGES)
    page, _, anchor = annotations["runbook_url"].removeprefix(PAGES).partition("#")
    assert anchor in anchors(CHECKOUT / page)


@pytest.mark.parametrize("record", records(), ids=lambda rule: rule["record"])
def test_a_record_can_be_read_and_is_shown_and_explained_and_tested(record: dict[str, str]) -> None:
    assert promql_parser.parse(record["expr"])
    assert re.fullmatch(r"mirror_on_miss:\w+:\w+", record["record"])
    assert record["record"] in DASHBOARD.read_text()
    assert f"`{record['record']}`" in (CHECKOUT / "docs" / "operations.md").read_text()
    expressions = [test["expr"] for case in alert_tests() for test in case.get("promql_expr_test", [])]
    assert [expression for expression in expressions if record["record"] in expression]


def test_a_share_can_be_red() -> None:
    shares = [
        panel
        for panel in panels()
        if panel.get("fieldConfig", {}).get("defaults", {}).get("unit") == "percentunit"
    ]
    assert len(shares) >= 3
    for panel in shares:
        colours = {step["color"] for step in panel["fieldConfig"]["defaults"]["thresholds"]["steps"]}
        assert {"red", "green"} <= colours, panel["title"]


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "SECURITY.md", "docs/operations.md", "docs/security.md"])
def test_a_page_leads_to_what_is_there(page: str) -> None:
    text = (CHECKOUT / page).read_text()
    missing = []
    for target in re.findall(r"\]\(([^):]+)\)", text):
        path, _, anchor = target.partition("#")
        file = (CHECKOUT / page).parent / path if path else CHECKOUT / page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            missing.append(target)
    for name in re.findall(r"`((?:tests|src|envoy|docs)/[\w./-]+)`", text):
        if not (CHECKOUT / name).exists():
            missing.append(name)
    assert missing == []


def anchors(page: Path) -> list[str]:
    """Returns its headings as GitHub makes anchors of them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return [re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings]


def test_each_alert_has_a_test_in_which_it_fires_and_one_in_which_it_does_not() -> None:
    fires, silent = set(), set()
    for case in alert_tests():
        for expected in case.get("alert_rule_test", []):
            (fires if expected["exp_alerts"] else silent).add(expected["alertname"])
    assert fires == set(ALERTS)
    assert silent == set(ALERTS)


def test_the_page_names_each_alert() -> None:
    page = (CHECKOUT / "docs" / "operations.md").read_text()
    assert [alert for alert in ALERTS if f"`{alert}`" not in page] == []


def test_the_dashboard_shows_every_metric() -> None:
    shown = {selector.name for selector in selectors() if selector.where.startswith("panel")}
    missing = [name for name in documented() if not {name, f"{name}_bucket"} & shown]
    assert missing == []


def test_panels_do_not_overlap_and_say_what_they_show() -> None:
    taken: set[tuple[int, int]] = set()
    assert len({panel["id"] for panel in panels()}) == len(panels())
    for panel in panels():
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert max(x for x, _ in cells) < 24
        assert not cells & taken, panel["title"]
        taken |= cells
        assert panel["type"] == "row" or panel["description"], panel["title"]


def test_the_dashboard_has_no_data_source_of_its_own() -> None:
    assert set(re.findall(r'"uid": "([^"]*)"', DASHBOARD.read_text())) == {"${datasource}", "mirror-on-miss"}
