"""Ranges: what is in them to the very edge, and the one line that says what was expected."""

import math

import numpy as np
import pytest

from contextloc_jax.core.errors import InputError
from contextloc_jax.core.ranges import Range, above, at_least, below, between, check_range, check_ranges, one_of

LARGEST = np.finfo(np.float64).max
BELOW_ONE, ABOVE_ONE = np.nextafter(1.0, 0), np.nextafter(1.0, 2)


@pytest.mark.parametrize(
    ("allowed", "inside", "outside"),
    [
        (at_least(1), (1, 1.0, 2**70, LARGEST), (0, BELOW_ONE, -1)),
        (above(1), (ABOVE_ONE, 2, LARGEST), (1, 0, -5)),
        (between(0, 1), (0, 0.5, 1), (np.nextafter(0.0, -1), ABOVE_ONE)),
        (below(0, 1), (0, BELOW_ONE), (np.nextafter(0.0, -1), 1)),
        (one_of("hard", "none"), ("hard", "none"), ("soft", "", "har")),
        (one_of(213, 211), (213, 211.0), (212, "213")),
    ],
)
def test_what_is_in_a_range_and_what_is_not(allowed, inside, outside):
    for value in inside:
        check_range("x", value, allowed)
    for value in outside:
        with pytest.raises(InputError):
            check_range("x", value, allowed)


@pytest.mark.parametrize("allowed", [at_least(0), above(0), between(0, 1), below(0, 1), one_of(0, 1)])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, None, "0.5", [0.5], {}])
def test_what_is_no_finite_number_is_in_no_range_of_numbers(allowed, value):
    with pytest.raises(InputError):
        check_range("x", value, allowed)


@pytest.mark.parametrize(
    ("allowed", "expected"),
    [
        (at_least(1), "at least 1"),
        (at_least(25, "frames"), "at least 25 frames"),
        (at_least(1_000_000), "at least 1000000"),
        (above(0), "a number above 0"),
        (above(0, "frames a second"), "frames a second above 0"),
        (between(0, 1), "a number from 0 to 1"),
        (below(0, 0.5, "a share"), "a share from 0 to less than 0.5"),
        (one_of("hard", "none"), "one of hard, none"),
        (Range("an even number", lambda value: value % 2 == 0), "an even number"),
    ],
)
def test_the_message_names_the_setting_its_value_and_what_is_expected(allowed, expected):
    with pytest.raises(InputError, match=rf"^config\.model\.width is -3; expected {expected}$"):
        check_range("config.model.width", -3, allowed)


def test_of_several_values_those_with_a_range_are_checked():
    ranges = {"rate": between(0, 1), "steps": at_least(1)}
    check_ranges("config.", {"rate": 0.5, "name": object()}, ranges)
    with pytest.raises(InputError, match=r"^config\.rate is 2; expected a number from 0 to 1$"):
        check_ranges("config.", {"steps": 1, "rate": 2}, ranges)
