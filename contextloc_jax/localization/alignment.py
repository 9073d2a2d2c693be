"""Where a proposal lies among the snippets of its video: segment -> ticks (frames) -> first and last snippet.

A proposal is scored through three segments: the start extension, the action and the end extension. Four ticks, in
frames, are the bounds of the segments: (act_start, act_end, comp_start, comp_end). An extension is half as long as the
proposal, and is clipped to the video. Training and test round ticks in different ways, as the authors' code does
(golden "sampling").
"""

from collections.abc import Callable

import numpy as np

EXTENSION = 0.5  # share of the proposal's duration, on each side: the published rule, not a setting

Align = Callable[[np.ndarray, int, int], np.ndarray]
"""(ticks [N, 4] in frames, num_frames, num_snippets) of a video -> first and last snippet [N, 3, 2] int32."""


def training_ticks(segments: np.ndarray, num_frames: int) -> np.ndarray:
    """Ticks of training nodes: [M, 2] frames -> [M, 4] int64. Starts count from frame 1 (golden "sampling")."""
    start, end = np.asarray(segments, np.int64).reshape(-1, 2).T
    extension = ((end - start) * EXTENSION).astype(np.int64)
    comp_start = np.maximum(1, start + 1 - extension)
    comp_end = np.minimum(num_frames, end + extension)
    return np.stack([start + 1, end, comp_start, comp_end], axis=1)


def test_ticks(proposals: np.ndarray, num_frames: int) -> np.ndarray:
    """Ticks of proposals to score: [N, 2] frames -> [N, 4] int64 (golden "sampling").

    The authors' test code computes with fractions of the video in float64, and truncates. So a tick can be one frame
    before the frame that it came from. This is copied on purpose: another rounding would give other snippets.
    """
    start, end = np.asarray(proposals, np.float64).reshape(-1, 2).T / num_frames
    extension = (end - start) * EXTENSION
    comp_start = np.maximum(0.0, start - extension)
    comp_end = np.minimum(1.0, end + extension)
    return (np.stack([start, end, comp_start, comp_end], axis=1) * num_frames).astype(np.int64)


test_ticks.__test__ = False  # not a test; pytest would collect it by its name where it is imported


def align_by_stride(snippet_stride: int, snippet_length: int) -> Align:
    """Snippet t covers frames [stride t, stride t + length): `segment_snippets`."""
    return lambda ticks, num_frames, num_snippets: segment_snippets(ticks, num_snippets, snippet_stride, snippet_length)


def align_by_bins() -> Align:
    """The features are rescaled to num_snippets bins over the whole video: `binned_snippets`."""
    return binned_snippets


def alignment_rule(num_bins: int, snippet_stride: int, snippet_length: int) -> Align:
    """The rule of a dataset: by bins if its features are rescaled to `num_bins`, by stride if num_bins is 0."""
    return align_by_bins() if num_bins else align_by_stride(snippet_stride, snippet_length)


def segment_snippets(ticks: np.ndarray, num_snippets: int, snippet_stride: int, snippet_length: int) -> np.ndarray:
    """First and last snippet of the three segments: [N, 4] frames -> [N, 3, 2] int32 (golden "pooling": units).

    Snippet t covers frames [stride t, stride t + length). If first < last, the segment is first..last inclusive. Else
    it is the single snippet `first`, and `last` may be smaller, even negative. 0 <= first <= T - 1 and last <= T - 2:
    a segment of several snippets never contains the last snippet of the video (the authors' rule).
    """
    start, end = _segment_bounds(ticks)
    first = start // snippet_stride
    last = _ceil_divide(end - snippet_length, snippet_stride)
    return _first_and_last(first, last, num_snippets)


def binned_snippets(ticks: np.ndarray, num_frames: int, num_bins: int) -> np.ndarray:
    """First and last bin of the three segments, where features are rescaled to `num_bins` over the whole video.

    [N, 4] frames -> [N, 3, 2] int32 (golden "pgcn": anet_units, ActivityNet). The meaning is that of
    `segment_snippets`, except that a single bin is stored as (first, first).
    """
    start, end = _segment_bounds(ticks)
    first = start * num_bins // num_frames
    last = _ceil_divide((end + 1) * num_bins, num_frames)
    bins = _first_and_last(first, last, num_bins)
    bins[..., 1] = bins.max(axis=-1)
    return bins


def rescale(features: np.ndarray, num_bins: int) -> np.ndarray:
    """[T, D] -> [num_bins, D] over the same time: linear between snippet centers, the nearest snippet outside them.

    Features that already have num_bins snippets are returned unchanged. The dtype stays; float16 is interpolated in
    float32.
    """
    num_snippets = len(features)
    if num_snippets == num_bins:
        return features
    position = np.clip((np.arange(num_bins) + 0.5) * num_snippets / num_bins - 0.5, 0, num_snippets - 1)
    before = position.astype(np.int64)
    after = np.minimum(before + 1, num_snippets - 1)
    share = (position - before).astype(np.float32)[:, None]
    return (features[before] * (1 - share) + features[after] * share).astype(features.dtype)


def _segment_bounds(ticks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(starts [N, 3], ends [N, 3]) in frames of start extension, action, end extension."""
    act_start, act_end, comp_start, comp_end = np.asarray(ticks, np.int64).reshape(-1, 4).T
    return np.stack([comp_start, act_start, act_end], axis=1), np.stack([act_start, act_end, comp_end], axis=1)


def _first_and_last(first: np.ndarray, last: np.ndarray, num_snippets: int) -> np.ndarray:
    first, last = np.minimum(num_snippets - 1, first), np.minimum(num_snippets - 2, last)
    return np.stack([first, last], axis=-1).astype(np.int32)


def _ceil_divide(numerator: np.ndarray, denominator: int) -> np.ndarray:
    return -(-numerator // denominator)
