"""The one tIoU in its two conventions: by hand, and against a count of frames."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contextloc_jax.core.segments import overlap_of, pairwise, tiou_of

FUZZ = settings(derandomize=True, deadline=None)
frame = st.integers(0, 30)  # few, so that equal, touching and empty segments are common
segment = st.tuples(frame, frame).map(sorted)
segments = st.lists(segment, min_size=1, max_size=12).map(np.array)
each_convention = pytest.mark.parametrize("inclusive", [False, True])


def frames(start: int, end: int, inclusive: bool) -> set[int]:
    """The frames of a segment, one by one."""
    return set(range(start, end + inclusive))


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ((0, 10), (5, 15), 1 / 3),
        ((0, 10), (10, 20), 0),
        ((0, 10), (30, 40), 0),
        ((0, 10), (2, 4), 0.2),
        ((3, 3), (3, 3), 1),  # an instant with itself
        ((3, 3), (4, 4), 0),
        ((3, 3), (0, 10), 0),
    ],
)
def test_tiou_by_hand(a, b, expected):
    assert tiou_of(*map(np.float64, (*a, *b))) == pytest.approx(expected, abs=1e-15)
    assert tiou_of(*map(np.float64, (*b, *a))) == pytest.approx(expected, abs=1e-15)


@each_convention
@FUZZ
@given(segments=segments)
def test_tiou_is_symmetric_bounded_and_one_for_itself(inclusive, segments):
    """Also of segments without length."""
    tiou = pairwise(tiou_of, segments, segments, inclusive=inclusive)
    assert (tiou == tiou.T).all()
    assert ((tiou >= 0) & (tiou <= 1)).all()
    assert (np.diag(tiou) == 1).all()


@each_convention
@FUZZ
@given(a=segment, b=segment)
def test_overlap_and_tiou_count_frames(inclusive, a, b):
    ours, others = frames(*a, inclusive), frames(*b, inclusive)
    arrays = [np.array(value) for value in (*a, *b)]
    assert overlap_of(*arrays, inclusive) == len(ours & others)
    identical = float(a == b)  # two segments without length share no frame, yet may be the same
    expected = len(ours & others) / len(ours | others) if ours | others else identical
    assert tiou_of(*arrays, inclusive) == expected


@each_convention
@FUZZ
@given(a=segments, b=segments)
def test_pairwise_is_the_function_of_every_pair(inclusive, a, b):
    found = pairwise(tiou_of, a, b, inclusive=inclusive)
    assert found.tolist() == [[float(tiou_of(*one, *other, inclusive)) for other in b] for one in a]


@FUZZ
@given(a=segment, b=segment, shift=st.integers(-1000, 1000), scale=st.sampled_from([0.25, 8.0]))
def test_seconds_and_frames_give_one_tiou(a, b, shift, scale):
    """Of real intervals. The scales are powers of two, which round nothing."""
    moved = [np.float64(scale * (value + shift)) for value in (*a, *b)]
    assert tiou_of(*moved) == tiou_of(*map(np.float64, (*a, *b)))
