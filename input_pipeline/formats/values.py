"""What all readers share: times in seconds, and the report of what a reader skipped or changed."""

import math
from dataclasses import dataclass, field

from contextloc_jax.core.errors import InputError, excerpt

MAX_SECONDS = 1e8  # three years of video; a larger number is a mistake


@dataclass
class ReadReport:
    """What readers skipped or changed by their documented rules: {what: [where, ...]} in reading order.

    A reader fills the report that it gets. One report may be used for several files.
    """

    findings: dict[str, list[str]] = field(default_factory=dict)

    def note(self, what: str, where: str) -> None:
        """Counts one more `what`, found at `where` (file and line, or file and video)."""
        self.findings.setdefault(what, []).append(where)

    def count(self, what: str) -> int:
        """How often `what` was noted."""
        return len(self.findings.get(what, ()))

    def lines(self) -> list[str]:
        """One line for each finding: how often, what, and where it occurred first."""
        return [f"{len(where)} x {what} (first: {where[0]})" for what, where in self.findings.items()]


def parse_seconds(value: object, where: str, what: str) -> float:
    """A time in seconds from JSON or CSV: a number, or text with a number.

    InputError: the value is something else, negative, not finite, or above MAX_SECONDS.
    """
    try:
        seconds = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        seconds = math.nan
    if not 0 <= seconds <= MAX_SECONDS:
        raise InputError(
            f"{where}: {what} is {excerpt(value)}, expected seconds: a number from 0 to {MAX_SECONDS:,.0f}"
        )
    return seconds


def parse_segment(value: object, where: str) -> tuple[float, float]:
    """[start, end] in seconds; the order is not checked. InputError: the value is not two times."""
    if not isinstance(value, list) or len(value) != 2:
        raise InputError(f"{where}: segment is {excerpt(value)}, expected [start, end] in seconds")
    return parse_seconds(value[0], where, "segment start"), parse_seconds(value[1], where, "segment end")
