"""Which values a setting may have: ranges that say what they expect, checked where settings are made."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from contextloc_jax.core.errors import InputError

A_NUMBER = "a number"


class Range(NamedTuple):
    """What is expected, in words for an error message, and whether a value is so."""

    expected: str
    holds: Callable[[Any], bool]


def at_least(least: float, unit: str = "") -> Range:
    """A finite number from `least` on; unit: what it counts, for the message."""
    return Range(f"at least {_shown(least)} {unit}".strip(), lambda value: least <= value < float("inf"))


def above(limit: float, unit: str = "") -> Range:
    """A finite number above `limit`; unit: what it is, such as 'frames a second'."""
    return Range(f"{unit or A_NUMBER} above {_shown(limit)}", lambda value: limit < value < float("inf"))


def between(least: float, most: float, unit: str = "") -> Range:
    """A number from `least` to `most`, both included."""
    return Range(f"{unit or A_NUMBER} from {_shown(least)} to {_shown(most)}", lambda value: least <= value <= most)


def below(least: float, limit: float, unit: str = "") -> Range:
    """A number from `least`, included, to `limit`, not included."""
    return Range(
        f"{unit or A_NUMBER} from {_shown(least)} to below {_shown(limit)}", lambda value: least <= value < limit
    )


def one_of(*values: str | int) -> Range:
    """One of these values."""
    return Range(f"one of {', '.join(map(str, values))}", lambda value: value in values)


def check_range(name: str, value: object, allowed: Range) -> None:
    """InputError unless the value is in the range; name: what the user calls the setting."""
    try:
        good = bool(allowed.holds(value))
    except TypeError:  # of another type altogether
        good = False
    if not good:
        raise InputError(f"{name} is {value!r}; expected {allowed.expected}")


def check_ranges(prefix: str, values: Mapping[str, object], ranges: Mapping[str, Range]) -> None:
    """`check_range` of every value that has a range; the setting `key` is called prefix + key."""
    for key, value in values.items():
        if key in ranges:
            check_range(f"{prefix}{key}", value, ranges[key])


def _shown(number: float) -> str:
    return str(number) if isinstance(number, int) else f"{number:g}"
