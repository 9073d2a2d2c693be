"""Thinned training curves."""

import numpy as np
import pytest

from contextloc_jax.report.curves import thin_curve


def test_short_curve_is_kept_whole():
    curve = thin_curve("loss", [10, 20, 30], [1.0, 0.123456789, 0.25])
    assert (curve.name, curve.steps, curve.values, curve.total) == ("loss", [10, 20, 30], [1.0, 0.12346, 0.25], 3)


def test_step_logged_twice_keeps_its_last_value_and_steps_increase():
    curve = thin_curve("loss", [1, 2, 3, 2, 3, 4], [9.0, 8.0, 7.0, 2.0, 3.0, 4.0])
    assert curve.steps == [1, 2, 3, 4]
    assert curve.values == [9.0, 2.0, 3.0, 4.0]


def test_long_curve_keeps_spikes_and_few_points():
    values = np.zeros(10_000)
    values[1234], values[8765] = 50.0, -7.0
    curve = thin_curve("gradient norm", range(10_000), values, most=100)
    assert len(curve.steps) <= 100
    assert curve.total == 10_000
    assert curve.values[curve.steps.index(1234)] == 50.0
    assert curve.values[curve.steps.index(8765)] == -7.0
    assert curve.steps == sorted(set(curve.steps))


def test_values_that_are_not_finite_are_gaps():
    assert thin_curve("loss", [0, 1, 2], [1.0, float("nan"), float("inf")]).values == [1.0, None, None]
    long = thin_curve("loss", range(1000), [float("nan")] * 500 + [1.0] * 500, most=10)
    assert long.values[0] is None
    assert long.values[-1] == 1.0


def test_empty_curve():
    assert thin_curve("loss", [], []) == ("loss", [], [], 0)


def test_unequal_lengths_are_a_bug():
    with pytest.raises(ValueError, match="zip"):
        thin_curve("loss", [1, 2], [1.0])
