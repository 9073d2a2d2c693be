"""Plots of measured cases, and the power law that is fitted to them."""

from xml.etree import ElementTree

import pytest

from benchmarks.log_plot import Panel, fitted_power, svg


def test_a_power_law_is_fitted():
    assert fitted_power([1, 2, 4], [3, 12, 48]) == pytest.approx((2, 3))


def test_a_plot_has_every_point_and_names_the_exponent():
    drawn = svg([Panel("seconds", "proposals", [200, 400, 800], [0.1, 0.2, 0.4])] * 2)
    root = ElementTree.fromstring(drawn)
    circles = root.findall(".//{*}circle")
    assert len(circles) == 6 and drawn.count("exponent 1.00") == 2
    inside = [0 < float(c.get("cx")) < 330 and 0 < float(c.get("cy")) < 250 for c in circles]
    assert all(inside)
