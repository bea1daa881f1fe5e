"""Curves as SVG, drawn by hand: a library for that would be larger than the bench's other packages
together.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 560, 320
LEFT, RIGHT, TOP, BOTTOM = 70, 20, 44, 52

COLOURS = ["#1f6feb", "#d1481f", "#2a8a4a", "#7a4fbf"]

STYLE = (
    "text{font:12px sans-serif;fill:#333}.title{font-size:14px;font-weight:bold}"
    ".grid{stroke:#ddd}.axis{stroke:#333;fill:none}.line{fill:none;stroke-width:2}"
)

MOST_MARKS = 12
"""The most points that each have a mark and a number. With more there is only the line."""

Axis = Callable[[float], float]

SUFFIXES = {1 << 10: "KiB", 1 << 20: "MiB", 1 << 30: "GiB"}


def draw(series: dict[str, Any]) -> str:
    """Draws one picture of a series, with a bar from the lowest to the highest run at each point."""
    lines: dict[str, list[list[float]]] = series["lines"]
    steps = sorted({point[0] for points in lines.values() for point in points})
    lowest = min(point[2] for points in lines.values() for point in points)
    highest = max(point[3] for points in lines.values() for point in points)
    x, y, ticks = _x_axis(steps), *_y_axis(lowest, highest)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
        f"<style>{STYLE}</style>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        f'<text class="title" x="{LEFT}" y="20">{escape(series["title"])}</text>',
    ]
    for tick in ticks:
        parts.append(f'<path class="grid" d="M{LEFT} {y(tick):.1f}H{WIDTH - RIGHT}"/>')
        parts.append(_text(LEFT - 8, y(tick) + 4, _short(tick), "end"))
    for step in steps if len(steps) <= MOST_MARKS else _round_steps(steps):
        parts.append(_text(x(step), HEIGHT - BOTTOM + 18, _step(step, series["axis"]), "middle"))
    parts.append(f'<path class="axis" d="M{LEFT} {TOP}V{HEIGHT - BOTTOM}H{WIDTH - RIGHT}"/>')
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, series["axis"], "middle"))
    for number, (name, points) in enumerate(lines.items()):
        parts += _line(points, x, y, COLOURS[number % len(COLOURS)])
        place = WIDTH - RIGHT - 100 * (len(lines) - number) + 90
        label = f'<text x="{place}" y="36" text-anchor="end" style="fill:{COLOURS[number % len(COLOURS)]}">'
        parts.append(f"{label}{escape(name)}</text>")
    return "\n".join([*parts, "</svg>", ""])


def _line(points: Sequence[Sequence[float]], x: Axis, y: Axis, colour: str) -> list[str]:
    places = " ".join(f"{x(step):.1f},{y(middle):.1f}" for step, middle, _, _ in points)
    parts = [f'<polyline class="line" stroke="{colour}" points="{places}"/>']
    for step, middle, low, high in points if len(points) <= MOST_MARKS else ():
        parts.append(f'<path stroke="{colour}" d="M{x(step):.1f} {y(low):.1f}V{y(high):.1f}"/>')
        parts.append(f'<circle cx="{x(step):.1f}" cy="{y(middle):.1f}" r="3.5" fill="{colour}"/>')
    return parts


def _x_axis(steps: Sequence[float]) -> Axis:
    """Makes an axis that is logarithmic where the steps are; from edge to edge, with room for the first and
    last.
    """
    scale: Axis = math.log10 if len(steps) <= MOST_MARKS else float
    first, last = scale(steps[0]), scale(steps[-1])
    room = 24
    width = WIDTH - LEFT - RIGHT - 2 * room
    return lambda step: LEFT + room + width * (scale(step) - first) / ((last - first) or 1)


def _round_steps(steps: Sequence[float]) -> list[float]:
    """Picks a handful of whole numbers for an axis of many steps."""
    every = next(step for step in (1, 2, 5, 10, 20, 50, 100, 200, 500) if steps[-1] <= 10 * step)
    return [float(step) for step in range(math.ceil(steps[0]), math.floor(steps[-1]) + 1, every)]


def _y_axis(lowest: float, highest: float) -> tuple[Axis, list[float]]:
    """Makes an axis from zero, or logarithmic where the highest is more than a hundred times the lowest."""
    height = HEIGHT - TOP - BOTTOM
    if lowest > 0 and highest / lowest > 100:
        bottom, top = math.floor(math.log10(lowest)), math.ceil(math.log10(highest))
        ticks = [10.0**power for power in range(bottom, top + 1)]
        return lambda value: TOP + height * (top - math.log10(value)) / (top - bottom), ticks
    base = min(0.0, lowest)
    span = (highest - base) or 1.0
    magnitude = 10 ** math.floor(math.log10(span / 4))
    tick = next(step * magnitude for step in (1, 2, 2.5, 5, 10) if step * magnitude * 5 >= span)
    floor = math.floor(base / tick)
    ceiling = math.ceil(highest / tick) or 1
    ticks = [tick * number for number in range(floor, ceiling + 1)]
    return lambda value: TOP + height * (ticks[-1] - value) / (ticks[-1] - ticks[0]), ticks


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _short(value: float) -> str:
    return f"{value:,.0f}" if value == round(value) else f"{value:g}"


def _step(step: float, axis: str) -> str:
    if not axis.startswith("bytes"):
        return f"{step:,.0f}"
    unit = max((unit for unit in SUFFIXES if unit <= step), default=1)
    return f"{step / unit:g} {SUFFIXES.get(unit, 'B')}"
