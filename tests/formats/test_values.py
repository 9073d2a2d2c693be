"""What readers count, and times from JSON or CSV as they may be written."""

import pytest

from contextloc_jax.core.errors import InputError
from input_pipeline.formats.values import MAX_SECONDS, ReadReport, parse_seconds, parse_segment


def test_a_report_counts_and_shows_what_came_first():
    report = ReadReport()
    for what, where in (("skipped", "a.csv:3"), ("clipped", "a.csv:4"), ("skipped", "b.csv:1")):
        report.note(what, where)
    assert (report.count("skipped"), report.count("clipped"), report.count("other")) == (2, 1, 0)
    assert report.lines() == ["2 x skipped (first: a.csv:3)", "1 x clipped (first: a.csv:4)"]
    assert ReadReport().lines() == []


@pytest.mark.parametrize(
    ("value", "seconds"), [(0, 0), (1.5, 1.5), ("2.25", 2.25), (" 3 ", 3), ("1e3", 1000), (MAX_SECONDS, MAX_SECONDS)]
)
def test_a_time_is_a_number_or_its_text(value, seconds):
    assert parse_seconds(value, "here", "start") == seconds


@pytest.mark.parametrize("value", [-0.1, "-1", "", "one", None, True, [1], float("nan"), "inf", 2e8, 10**400])
def test_what_is_no_time_is_one_line(value):
    with pytest.raises(InputError, match=r"^here: start is [^\n]*, expected seconds: a number from 0 to 100,000,000$"):
        parse_seconds(value, "here", "start")


def test_a_segment_is_two_times_in_whatever_order():
    assert parse_segment([2, "1"], "here") == (2, 1)
    for value in ([1], [1, 2, 3], (1, 2), "12", None):
        with pytest.raises(InputError, match=r"^here: segment is [^\n]*, expected \[start, end\] in seconds$"):
            parse_segment(value, "here")
