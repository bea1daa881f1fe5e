"""The picture of the dashboard: every panel of its rows, with the values that a Prometheus has."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import parse_qs, urlsplit
from xml.etree import ElementTree

import pytest

from . import __main__ as dashboard

ASKED: list[str] = []


class Prometheus(BaseHTTPRequestHandler):
    """Answers each query with one series, which ends at 0.05."""

    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query)
        ASKED.append(query["query"][0])
        begin, end = float(query["start"][0]), float(query["end"][0])
        values = [[begin, "1"], [(begin + end) / 2, "NaN"], [end, "0.05"]]
        body = json.dumps(
            {"data": {"result": [{"metric": {"outcome": "stored"}, "values": values}]}}
        ).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Logs nothing."""


@pytest.fixture
def prometheus() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Prometheus)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_every_panel_of_the_rows_is_drawn_with_its_value(
    prometheus: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["dashboard", prometheus, "600", "1m"])
    dashboard.main()
    picture = capsys.readouterr().out
    panels = list(dashboard.chosen(json.loads(dashboard.DASHBOARD.read_text())["panels"]))
    assert {panel["title"] for panel in panels if panel["type"] == "row"} == set(dashboard.ROWS)
    texts = [
        text.text or "" for text in ElementTree.fromstring(picture).iter("{http://www.w3.org/2000/svg}text")
    ]
    assert [panel["title"] for panel in panels if panel["title"] not in texts] == []
    assert {"5.0%", "stored"} <= set(texts)
    assert not [query for query in ASKED if re.search(r"\\$", query)], "no variable of Grafana's is left"


def test_a_share_has_the_colour_of_its_threshold() -> None:
    steps = [{"color": "green", "value": None}, {"color": "red", "value": 0.1}]
    panel = {"fieldConfig": {"defaults": {"unit": "percentunit", "thresholds": {"steps": steps}}}}
    drawn = [dashboard.stat(panel, [("", [(0.0, value)])], 100, 100) for value in (0.05, 0.2)]
    assert [dashboard.COLOURS["green"] in drawn[0], dashboard.COLOURS["red"] in drawn[1]] == [True, True]
    assert "No data" in dashboard.stat(panel, [], 100, 100)
