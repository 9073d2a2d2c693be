"""Plots with logarithmic axes as SVG, for pages of docs/."""

import math
from typing import NamedTuple

import numpy as np

WIDTH, HEIGHT = 330, 250  # of a panel, pixels
LEFT, RIGHT, TOP, BOTTOM = 56, 14, 34, 42  # around its axes


class Panel(NamedTuple):
    """Points x [n], y [n], both positive. The fitted line y = coefficient x^exponent is drawn with them."""

    title: str
    x_label: str
    x: list[float]
    y: list[float]


def fitted_power(x, y) -> tuple[float, float]:
    """(exponent, coefficient) of the least-squares line through log x [n] and log y [n]."""
    exponent, intercept = np.polyfit(np.log(x), np.log(y), 1)
    return float(exponent), float(np.exp(intercept))


def svg(panels: list[Panel]) -> str:
    """The panels side by side."""
    width = WIDTH * len(panels)
    drawn = "\n".join(f'<g transform="translate({WIDTH * i},0)">{_panel(p)}</g>' for i, p in enumerate(panels))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {HEIGHT}" width="{width}" height="{HEIGHT}" '
        f'font-family="sans-serif" font-size="11" fill="#222">\n<rect width="{width}" height="{HEIGHT}" fill="#fff"/>\n'
        f"{drawn}\n</svg>\n"
    )


def _panel(panel: Panel) -> str:
    exponent, coefficient = fitted_power(panel.x, panel.y)
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    line = [coefficient * value**exponent for value in panel.x]
    to_x = _scale(panel.x, LEFT, WIDTH - RIGHT)
    to_y = _scale([*panel.y, *line], HEIGHT - BOTTOM, TOP)
    points = "".join(
        f'<circle cx="{to_x(a):.1f}" cy="{to_y(b):.1f}" r="3.5" fill="#1f5fbf"/>'
        for a, b in zip(panel.x, panel.y, strict=True)
    )
    path = " ".join(f"{to_x(a):.1f},{to_y(b):.1f}" for a, b in zip(panel.x, line, strict=True))
    marks = "".join(
        f'<line x1="{to_x(a):.1f}" x2="{to_x(a):.1f}" y1="{TOP}" y2="{bottom}" stroke="#ddd"/>'
        f'<text x="{to_x(a):.1f}" y="{bottom + 14}" text-anchor="middle">{a:g}</text>'
        for a in panel.x
    )
    marks += "".join(
        f'<line x1="{LEFT}" x2="{right}" y1="{to_y(b):.1f}" y2="{to_y(b):.1f}" stroke="#ddd"/>'
        f'<text x="{LEFT - 5}" y="{to_y(b) + 4:.1f}" text-anchor="end">{b:g}</text>'
        for b in _ticks([*panel.y, *line])
    )
    return (
        f'{marks}<polyline points="{path}" fill="none" stroke="#c33" stroke-dasharray="5 3"/>{points}'
        f'<text x="{LEFT}" y="18" font-weight="bold">{panel.title}</text>'
        f'<text x="{right}" y="{HEIGHT - 8}" text-anchor="end" fill="#c33">fitted: exponent {exponent:.2f}</text>'
        f'<text x="{LEFT}" y="{HEIGHT - 8}">{panel.x_label}</text>'
    )


def _scale(values, first: float, last: float):
    """A logarithmic map of the values' range to [first, last]."""
    low, high = math.log(min(values)), math.log(max(values))
    return lambda value: first + (last - first) * (math.log(value) - low) / max(high - low, 1e-9)


def _ticks(values) -> list[float]:
    """1, 2 and 5 times powers of ten within the values' range."""
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    ticks = [digit * 10.0**power for power in range(low, high + 1) for digit in (1, 2, 5)]
    return [float(f"{tick:.3g}") for tick in ticks if min(values) <= tick <= max(values)]
