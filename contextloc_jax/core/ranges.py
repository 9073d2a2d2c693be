"""Ranges: the values that a setting may have, in words and as a test. Settings check them when they are made."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from contextloc_jax.core.errors import InputError

A_NUMBER = "a number"


class Range(NamedTuple):
    """expected: the allowed values in words, for an error message. holds: whether a value is one of them."""

    expected: str
    holds: Callable[[Any], bool]


def at_least(least: float, unit: str = "") -> Range:
    """Finite numbers >= `least`. unit: what they count, such as 'frames', for the message."""
    return Range(f"at least {_shown(least)} {unit}".strip(), lambda value: least <= value < float("inf"))


def above(limit: float, unit: str = "") -> Range:
    """Finite numbers > `limit`. unit: what they are, such as 'frames per second', for the message."""
    return Range(f"{unit or A_NUMBER} above {_shown(limit)}", lambda value: limit < value < float("inf"))


def between(least: float, most: float, unit: str = "") -> Range:
    """Numbers from `least` to `most`, both included. unit: as for `above`."""
    return Range(f"{unit or A_NUMBER} from {_shown(least)} to {_shown(most)}", lambda value: least <= value <= most)


def below(least: float, limit: float, unit: str = "") -> Range:
    """Numbers >= `least` and < `limit`. unit: as for `above`."""
    return Range(
        f"{unit or A_NUMBER} from {_shown(least)} to less than {_shown(limit)}", lambda value: least <= value < limit
    )


def one_of(*values: str | int) -> Range:
    """Only these values."""
    return Range(f"one of {', '.join(map(str, values))}", lambda value: value in values)


def check_range(name: str, value: object, allowed: Range) -> None:
    """InputError: the value is not in the range. name: the setting as the user knows it, for the message."""
    try:
        good = bool(allowed.holds(value))
    except TypeError:  # the value has a type that cannot be compared
        good = False
    if not good:
        raise InputError(f"{name} is {value!r}; expected {allowed.expected}")


def check_ranges(prefix: str, values: Mapping[str, object], ranges: Mapping[str, Range]) -> None:
    """Calls `check_range` for every value that has a range. The message calls a setting prefix + key."""
    for key, value in values.items():
        if key in ranges:
            check_range(f"{prefix}{key}", value, ranges[key])


def _shown(number: float) -> str:
    return str(number) if isinstance(number, int) else f"{number:g}"
