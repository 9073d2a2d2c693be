"""Reduces training curves of any length to few points, so that the page with them stays small."""

from typing import NamedTuple

import numpy as np

MOST_POINTS = 300


class Curve(NamedTuple):
    """One curve to draw: n of its `total` points, by increasing step. A value of None is a gap (not finite)."""

    name: str
    steps: list[int]
    values: list[float | None]
    total: int


def thin_curve(name: str, steps, values, most: int = MOST_POINTS) -> Curve:
    """steps [n], values [n] -> at most `most` points, five digits each.

    A step that was logged twice (by a resumed run) has its last value. A longer curve is cut into stretches with equal
    numbers of points. Each stretch keeps its smallest and its greatest value, so spikes stay visible.
    """
    last = {int(step): float(value) for step, value in zip(steps, values, strict=True)}
    steps = np.array(sorted(last), int)
    values = np.array([last[step] for step in steps.tolist()], float)
    kept = np.arange(len(steps))
    if len(steps) > most:
        stretches = np.array_split(kept, most // 2)
        kept = np.unique([index for stretch in stretches for index in _extremes(stretch, values)])
    plain = [float(f"{value:.5g}") if np.isfinite(value) else None for value in values[kept]]
    return Curve(name, steps[kept].tolist(), plain, len(steps))


def _extremes(stretch, values) -> tuple[int, int]:
    """The places where a stretch of values is smallest and greatest. If no value is finite: one place, twice."""
    finite = stretch[np.isfinite(values[stretch])]
    if not len(finite):
        return stretch[0], stretch[0]
    return finite[np.argmin(values[finite])], finite[np.argmax(values[finite])]
