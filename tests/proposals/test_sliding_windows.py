"""Sliding windows: their lengths, their steps, and that none is missing."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from contextloc_jax.proposals.sliding_windows import sliding_windows

FPS = 50
WINDOWS = {"shortest_seconds": 3.0, "growth": 1.4, "longest_seconds": 24.0}
FUZZ = settings(derandomize=True, deadline=None)


def test_sliding_windows_grow_by_1_4_and_overlap_by_three_quarters():
    windows = sliding_windows(60 * FPS, FPS, **WINDOWS)
    lengths = windows[:, 1] - windows[:, 0]
    for expected in (150, 210, 294, 411.6, 576.24, 806.7, 1129.4):
        starts = windows[np.abs(lengths - expected) <= 1, 0]
        np.testing.assert_allclose(starts, np.arange(len(starts)) * expected / 4, atol=1)
        assert starts[-1] + 1.25 * expected > 60 * FPS - 2  # no further window would fit
    assert len(windows) == sum(int((3000 - n) / (n / 4)) + 1 for n in 150 * 1.4 ** np.arange(7))
    assert windows.min() == 0 and windows.max() <= 60 * FPS
    assert windows.dtype == np.int64


def test_sliding_windows_stay_inside_a_short_video():
    windows = sliding_windows(5 * FPS, FPS, **WINDOWS)
    assert set(windows[:, 1] - windows[:, 0]) == {150, 210}
    assert sliding_windows(100, FPS, **WINDOWS).shape == (0, 2)


@FUZZ
@given(num_frames=st.integers(1, 2000), quarters=st.integers(1, 40))
def test_windows_of_one_length_are_all_that_fit(num_frames, quarters):
    """Of a length whose quarter is a whole number of frames, so that nothing is rounded."""
    length = 4 * quarters
    windows = sliding_windows(num_frames, 1.0, shortest_seconds=length, growth=2.0, longest_seconds=length)
    expected = [[start, start + length] for start in range(0, num_frames, quarters) if start + length <= num_frames]
    assert windows.tolist() == expected


@FUZZ
@given(num_frames=st.integers(1, 2000), fps=st.sampled_from([10.0, 29.97]))
def test_windows_lie_inside_the_video_and_have_the_allowed_lengths(num_frames, fps):
    windows = sliding_windows(num_frames, fps, shortest_seconds=1.0, growth=1.6, longest_seconds=10.0)
    seconds = (windows[:, 1] - windows[:, 0]) / fps
    assert (windows >= 0).all() and (windows <= num_frames).all()
    assert ((seconds > 1.0 - 1.1 / fps) & (seconds < 10.0 + 1.1 / fps)).all()
    assert len(windows) > 0 or num_frames < 1.0 * fps + 1
