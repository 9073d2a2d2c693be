"""Ticks and snippets of segments: hand-checked cases and what holds for every segment."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contextloc_jax.localization.alignment import binned_snippets, segment_snippets, test_ticks, training_ticks

SNIPPETS = {"snippet_stride": 8, "snippet_length": 64}
FUZZ = settings(derandomize=True, deadline=None)
NO_SEGMENTS = np.zeros((0, 2), np.int64)


@st.composite
def video_segments(draw):
    """(segments [N, 2] inside the video, start < end, num_frames)"""
    num_frames = draw(st.integers(1, 5000))
    frames = st.integers(0, num_frames)
    pairs = draw(st.lists(st.tuples(frames, frames).filter(lambda pair: pair[0] != pair[1]), min_size=1, max_size=8))
    return np.sort(np.array(pairs), axis=1), num_frames


def test_extension_is_half_the_duration_on_each_side():
    segments = np.array([[100, 201]])
    assert test_ticks(segments, 1000).tolist() == [[100, 201, 49, 251]]
    assert training_ticks(segments, 1000).tolist() == [[101, 201, 51, 251]]


def test_extension_is_clipped_to_the_video():
    segments = np.array([[10, 990]])
    assert test_ticks(segments, 1000).tolist() == [[10, 990, 0, 1000]]
    assert training_ticks(segments, 1000).tolist() == [[11, 990, 1, 1000]]


def test_test_ticks_truncate_a_product_of_fractions():
    assert int(29 / 50 * 50) == 28  # float64: why the tick below is not 29
    assert test_ticks(np.array([[29, 40]]), 50)[0, 0] == 28


@pytest.mark.parametrize(("ticks_of", "first_frame"), [(training_ticks, 1), (test_ticks, 0)])
@FUZZ
@given(video=video_segments())
def test_ticks_are_ordered_and_inside_the_video(ticks_of, first_frame, video):
    segments, num_frames = video
    act_start, act_end, comp_start, comp_end = ticks_of(segments, num_frames).T
    assert (first_frame <= comp_start).all()
    assert (comp_start <= act_start).all()
    assert (act_start <= act_end).all()
    assert (act_end <= comp_end).all()
    assert (comp_end <= num_frames).all()
    assert (np.abs(act_start - segments[:, 0]) <= 1).all()
    assert (np.abs(act_end - segments[:, 1]) <= 1).all()


@pytest.mark.parametrize(
    ("start_frame", "end_frame", "first", "last"),
    [
        (64, 200, 8, 17),  # snippets 8 .. 17 cover frames 64 .. 199
        (71, 200, 8, 17),  # the first one may begin before the segment
        (64, 201, 8, 18),  # the last one may end after it
        (80, 144, 10, 10),  # one snippet long: the single snippet 10
        (80, 100, 10, 5),  # shorter than a snippet
        (0, 0, 0, -8),  # before the video, as an extension of nothing
        (2000, 3000, 99, 98),  # beyond the last snippet
    ],
)
def test_snippets_of_a_segment(start_frame, end_frame, first, last):
    ticks = np.array([[start_frame, end_frame, start_frame, end_frame]])
    assert segment_snippets(ticks, 100, **SNIPPETS)[0, 1].tolist() == [first, last]


def test_three_segments_are_start_extension_action_and_end_extension():
    ticks = np.array([[400, 800, 200, 1000]])
    assert segment_snippets(ticks, 500, **SNIPPETS).tolist() == [[[25, 42], [50, 92], [100, 117]]]
    assert binned_snippets(ticks, 2000, 100).tolist() == [[[10, 21], [20, 41], [40, 51]]]


def test_stride_and_length_are_in_frames():
    ticks = np.array([[160, 320, 160, 320]])
    assert segment_snippets(ticks, 100, snippet_stride=16, snippet_length=16)[0, 1].tolist() == [10, 19]


@FUZZ
@given(video=video_segments(), num_snippets=st.integers(1, 700), stride=st.integers(1, 32), length=st.integers(1, 64))
def test_snippets_stay_inside_the_features(video, num_snippets, stride, length):
    ticks = test_ticks(*video)
    snippets = segment_snippets(ticks, num_snippets, stride, length)
    assert snippets.dtype == np.int32
    first, last = snippets[..., 0], snippets[..., 1]
    assert (first >= 0).all()
    assert (first <= num_snippets - 1).all()
    assert (last <= num_snippets - 2).all()


@FUZZ
@given(video=video_segments(), num_bins=st.integers(1, 200))
def test_bins_stay_inside_the_features_and_are_in_order(video, num_bins):
    segments, num_frames = video
    bins = binned_snippets(test_ticks(segments, num_frames), num_frames, num_bins)
    assert bins.dtype == np.int32
    assert (bins >= 0).all()
    assert (bins < num_bins).all()
    assert (bins[..., 0] <= bins[..., 1]).all()


@FUZZ
@given(video=video_segments())
def test_a_single_snippet_holds_every_segment(video):
    segments, num_frames = video
    ticks = test_ticks(segments, num_frames)
    snippets = segment_snippets(ticks, 1, **SNIPPETS)
    assert (snippets[..., 0] == 0).all()
    assert (snippets[..., 1] < 0).all()
    assert (binned_snippets(ticks, num_frames, 1) == 0).all()


def test_the_last_bin_is_left_out_of_longer_windows():
    ticks = np.array([[0, 1000, 0, 1000]])
    assert binned_snippets(ticks, 1000, 100)[0].tolist() == [[0, 1], [0, 98], [99, 99]]


def test_no_proposals():
    assert training_ticks(NO_SEGMENTS, 100).shape == (0, 4)
    assert test_ticks(NO_SEGMENTS, 100).shape == (0, 4)
    assert segment_snippets(np.zeros((0, 4), int), 5, **SNIPPETS).shape == (0, 3, 2)
    assert binned_snippets(np.zeros((0, 4), int), 100, 100).shape == (0, 3, 2)
