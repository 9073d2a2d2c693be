"""What kind of instance: length, coverage of the video, number in the video and free context, in bins.

Length, coverage and instances with their bins are DETAD's (Alwassel et al., ECCV 2018). Its numbers for context were
collected by people, and exist only for ActivityNet's test set. Here context is computed: see `_free_context`.
"""

from typing import NamedTuple

import numpy as np

from contextloc_jax.core.protocols import Bins, Protocol
from contextloc_jax.core.structs import GroundTruth


class Characteristic(NamedTuple):
    """One number of each of G instances.

    values [G] float64, NaN where unknown; names of the bins; bin [G] int64, -1 where unknown. A bin holds the values
    above the bin before it, up to and including its own upper edge.
    """

    values: np.ndarray
    names: tuple[str, ...]
    bin: np.ndarray


def characteristics(ground_truth: GroundTruth, protocol: Protocol) -> dict[str, Characteristic]:
    """{"length": seconds, "coverage": share of the video, "instances": annotated in the video (of any class),
    "context": see `_free_context`}, each in the bins of the protocol.

    If the duration of a video is NaN, only the coverage is unknown. A coverage above 1 is in the last bin.
    """
    start, end = ground_truth.segments.T
    counts = np.bincount(ground_truth.video, minlength=len(ground_truth.video_ids))
    values = {
        "length": end - start,
        "coverage": (end - start) / np.asarray(ground_truth.duration_seconds, np.float64)[ground_truth.video],
        "instances": counts[ground_truth.video].astype(np.float64),
        "context": _free_context(ground_truth),
    }
    return {name: _in_bins(values[name], protocol.bins[name]) for name in values}


def _in_bins(values: np.ndarray, bins: Bins) -> Characteristic:
    return Characteristic(values, bins.names, np.where(np.isnan(values), -1, np.searchsorted(bins.edges, values)))


def _free_context(ground_truth: GroundTruth) -> np.ndarray:
    """[G] share of an instance's surroundings that lies in the video and in no other instance; NaN for length zero.

    The surroundings are what the model adds to a proposal: half of its length on each side.
    """
    start, end = ground_truth.segments.T
    half = (end - start) / 2
    free = np.zeros(len(start))
    for video, duration in enumerate(ground_truth.duration_seconds):
        own = np.flatnonzero(ground_truth.video == video)
        if own.size:
            times, annotated = _annotated_until(start[own], end[own])
            left, right = np.maximum(start[own] - half[own], 0), np.fmin(end[own] + half[own], duration)
            for first, last in ((left, start[own]), (end[own], right)):
                last = np.maximum(first, last)
                taken = np.interp(last, times, annotated) - np.interp(first, times, annotated)
                free[own] += last - first - taken
    return np.clip(np.divide(free, 2 * half, out=np.full(len(free), np.nan), where=half > 0), 0, 1)


def _annotated_until(start: np.ndarray, end: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Times, and how many seconds before each of them lie in at least one of the segments (linear in between)."""
    order = np.argsort(start)
    start, end = start[order], np.maximum.accumulate(end[order])
    begins = np.append(True, start[1:] > end[:-1])  # of a run of segments that touch
    first, last = start[begins], end[np.append(begins[1:], True)]
    total = np.cumsum(last - first)
    return np.column_stack([first, last]).ravel(), np.column_stack([total - (last - first), total]).ravel()
