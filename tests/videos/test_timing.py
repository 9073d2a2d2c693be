"""How many snippets and frames a video of a duration has."""

import dataclasses

from hypothesis import given, settings
from hypothesis import strategies as st

from input_pipeline.videos.timing import Timing

TIMING = Timing(fps=10.0, snippet_stride=8, snippet_length=64, num_bins=0)


def test_a_video_shorter_than_a_snippet_has_one():
    assert TIMING.expected_snippets(10)[0] == 1 and TIMING.fits(1, 10)


@settings(derandomize=True, deadline=None)
@given(num_snippets=st.integers(1, 500), stride=st.integers(1, 32), length=st.integers(1, 64))
def test_the_frames_that_snippets_span_fit_them(num_snippets, stride, length):
    timing = Timing(10.0, stride, length, num_bins=0)
    num_frames = timing.frames_of(num_snippets)
    assert num_frames == 1 + max(t * stride + length - 1 for t in range(num_snippets))
    assert timing.fits(num_snippets, num_frames)


def test_rescaled_features_fit_whatever_the_duration():
    assert not TIMING.fits(100, 10)
    assert dataclasses.replace(TIMING, num_bins=100).fits(100, 10)
