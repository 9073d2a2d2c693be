"""Fuses the scores of several streams into one set of scores."""

from collections.abc import Sequence

import numpy as np

from contextloc_jax.core.errors import InputError, some_of
from contextloc_jax.core.structs import VideoScores, check_scores


def fuse(
    streams: Sequence[Sequence[VideoScores]], weights: Sequence[float], names: Sequence[str] | None = None
) -> list[VideoScores]:
    """Weighted mean of the raw scores of several streams, in the video order of the first stream (golden post2_*).

    weights: one number >= 0 for each stream; they are scaled to sum to 1 (the authors: flow : RGB = 1.2 : 1).
    names: the names of the streams in messages.
    Activity logits, completeness and de-standardized regression are averaged in the same way, in float64.
    InputError: the weights are wrong, or the streams do not cover the same videos, proposals, classes or durations;
    the message lists the differences.
    """
    names = list(names or [f"stream {i + 1}" for i in range(len(streams))])
    weights = np.asarray(weights, np.float64)
    if not len(streams) or weights.shape != (len(streams),) or len(names) != len(streams):
        raise InputError(f"fuse: {len(streams)} streams with {weights.size} weights; expected one weight for each")
    if not np.all(np.isfinite(weights)) or weights.min() < 0 or weights.sum() <= 0:
        raise InputError(f"fuse: weights {weights.tolist()}; expected numbers >= 0 that are not all 0")
    for name, stream in zip(names, streams, strict=True):
        check_scores(stream, None, where=f"{name}: ")
    by_id = [{video.video_id: video for video in stream} for stream in streams]
    _check_same_coverage(by_id, names)
    weights = weights / weights.sum()

    def mean(video_id: str, field: str) -> np.ndarray:
        return np.sum([getattr(s[video_id], field) * w for s, w in zip(by_id, weights, strict=True)], axis=0)

    fields = ("activity", "completeness", "regression")
    return [video._replace(**{field: mean(video.video_id, field) for field in fields}) for video in streams[0]]


_DIFFERENCES = {
    "proposals": lambda a, b: not np.array_equal(a.proposals, b.proposals),
    "classes": lambda a, b: a.completeness.shape[1:] != b.completeness.shape[1:],
    "durations": lambda a, b: a.duration_seconds != b.duration_seconds,
}


def _check_same_coverage(by_id: list[dict[str, VideoScores]], names: list[str]) -> None:
    """InputError unless every stream has the same videos, proposals, classes and durations as the first."""
    first, first_name = by_id[0], names[0]
    for stream, name in zip(by_id[1:], names[1:], strict=True):
        found = [
            f"{len(ids)} only in {where} ({some_of(ids)})"
            for ids, where in ((first.keys() - stream.keys(), first_name), (stream.keys() - first.keys(), name))
            if ids
        ]
        both = [video_id for video_id in first if video_id in stream]
        for what, differs in _DIFFERENCES.items():
            ids = [video_id for video_id in both if differs(first[video_id], stream[video_id])]
            if ids:
                found.append(f"{len(ids)} with other {what} ({some_of(ids)})")
        if found:
            raise InputError(
                f"fuse: {first_name} and {name} do not cover the same videos and proposals: {'; '.join(found)};"
                " evaluate both on the same test proposals"
            )
