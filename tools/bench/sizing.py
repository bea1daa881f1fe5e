"""The lines of docs/performance.md that a size is planned with, from what was measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from stack.render import Wiring

from .distant import AFAR, GIGABIT, title_of_site
from .hits import title_of_cost
from .startup import FIRST_ANSWER
from .stream import SLOWER, title_of_first_byte, title_of_read
from .thin import LINE

KIB, GIB = 1 << 10, 1 << 30

ALONE, MANY = 1, 16
"""Clients of the rows of `peers`."""

MISSING = "not measured"


class Figures:
    """What was measured, by name."""

    def __init__(self, content: dict[str, Any]) -> None:
        self._measures = {each["name"]: each["value"] for each in content.get("measures", [])}
        self._rivals = {
            (each["system"], each["size"], each["concurrency"]): each for each in content.get("rivals", [])
        }

    def measure(self, name: str) -> float:
        return self._measures[name]

    def rival(self, system: str, size: int, clients: int, figure: str) -> float:
        """Returns the median."""
        return self._rivals[system, size, clients][figure][0]


def sizing_rows(content: dict[str, Any]) -> list[list[str]]:
    figures = Figures(content)
    rows = [["", "figure"]]
    for name, figure in LINES:
        try:
            rows.append([name, figure(figures)])
        except (KeyError, TypeError):
            rows.append([name, MISSING])
    return rows


def rounded(value: float) -> str:
    """Writes two digits, or whole numbers: more would promise what no other machine keeps."""
    digits = float(f"{value:.2g}")
    return f"{digits:,.0f}" if digits >= 10 else f"{digits:g}"


def _both(value: Callable[[Wiring], float], unit: str) -> str:
    redirect, transparent = rounded(value("redirect")), rounded(value("transparent"))
    return f"{redirect}{unit} redirect, {transparent}{unit} transparent"


def _far(figures: Figures) -> str:
    return f"{rounded(figures.measure(AFAR))} a second"


def _line(figures: Figures) -> str:
    title = title_of_site(GIGABIT)
    objects, megabytes = figures.measure(f"{title}: filling"), figures.measure(f"{title}: MB a second")
    hours = 1e6 / megabytes / 3600
    return f"{rounded(objects)} a second, {rounded(megabytes)} MB/s: {rounded(hours)} hours for a terabyte"


def _thin(figures: Figures) -> str:
    return f"{rounded(figures.measure(f'40 MiB over a {LINE}: the fill'))} s"


def _alone(figures: Figures) -> str:
    return _both(lambda wiring: figures.rival(wiring, 4 * KIB, ALONE, "latency_ms"), " ms")


def _first(figures: Figures) -> str:
    return _both(lambda wiring: figures.measure(title_of_first_byte(wiring, 100)), " ms")


def _read(figures: Figures) -> str:
    return f"{rounded(figures.measure(title_of_read(SLOWER)))} times its size"


def _hits(figures: Figures) -> str:
    return _both(lambda wiring: 1e6 / figures.measure(title_of_cost(f"{wiring} wiring")), "")


def _misses(figures: Figures) -> str:
    return _both(lambda wiring: 1000 / figures.rival(wiring, 4 * KIB, MANY, "cpu_seconds_per_1000"), "")


def _gigabyte(figures: Figures) -> str:
    return _both(lambda wiring: figures.rival(wiring, GIB, ALONE, "cpu_seconds_per_1000") / 1000, " s")


def _memory(figures: Figures) -> str:
    return _both(lambda wiring: figures.rival(wiring, 4 * KIB, MANY, "peak_mib"), " MiB")


def _start(figures: Figures) -> str:
    return f"{rounded(figures.measure(FIRST_ANSWER))} ms"


LINES: Sequence[tuple[str, Callable[[Figures], str]]] = (
    ("misses of 16 KiB, origin 200 ms away, 256 clients, one worker", _far),
    ("a site of 1 KiB to 8 MiB, origin 100 ms away, its line 1 Gbit/s, two workers", _line),
    ("40 MiB to a bucket behind 5 Mbit/s, 100 ms, 1 % loss", _thin),
    ("first byte of a cold 1 GiB, `serve`, origin 100 ms away", _first),
    ("bytes read from the origin for it, one client", _read),
    ("time of a miss of 4 KiB until the client has it, all on one machine", _alone),
    ("hits of 4 KiB a second for each core of the edge", _hits),
    ("misses of 4 KiB a second for each core of edge and signer", _misses),
    ("processor time for 1 GiB that is filled", _gigabyte),
    ("memory of edge and signer together while they fill small objects", _memory),
    ("start of an edge with two workers to its first answer", _start),
)
