"""One video from arrays in memory, handled in the same way as the files of config.data. Localizer uses it."""

from collections.abc import Mapping

import numpy as np

from contextloc_jax.core.errors import InputError
from contextloc_jax.core.ranges import above, check_range
from input_pipeline.datasets.seconds import SecondsReader
from input_pipeline.datasets.stored_features import as_stored
from input_pipeline.formats.annotations import VideoAnnotation
from input_pipeline.formats.features import as_float, check_all_finite
from input_pipeline.formats.proposal_tables import VideoProposals
from input_pipeline.formats.values import ReadReport
from input_pipeline.videos.records import VideoRecord
from input_pipeline.videos.timing import Timing


def stored_features(features: np.ndarray, data: Mapping[str, object], where: str) -> np.ndarray:
    """Features [T, D] as a dataset with these values of config.data stores them.

    InputError, beginning with `where`: another shape, no snippet, or a value that is not a finite number.
    """
    features = np.asarray(features)
    if features.ndim != 2 or not features.size or features.dtype.kind not in "fiu":
        raise InputError(f"{where}: features are {features.dtype} {features.shape}; expected numbers [snippets, width]")
    read = as_float(features)
    check_all_finite(read, where)
    return as_stored(read, data["num_bins"], data["feature_dtype"], f"{where}: features")


def record_of_arrays(
    video_id: str,
    num_snippets: int,
    proposals_seconds: np.ndarray,
    data: Mapping[str, object],
    fps: float | None,
    duration_seconds: float | None,
) -> VideoRecord:
    """The record of a video without annotated instances; fps and duration_seconds as annotations state them.

    proposals_seconds [N, 2]. Proposals that are shorter than a frame or start after the end of the video are left out,
    as in files. InputError: another shape, a value that is not finite, a proposal that ends before it starts, or a
    missing duration that is needed.
    """
    where = f"video {video_id!r}"
    segments = np.asarray(proposals_seconds, np.float64)
    if segments.ndim != 2 or segments.shape[1] != 2 or not np.isfinite(segments).all():
        raise InputError(f"{where}: proposals_seconds are {segments.shape}; expected finite numbers [N, 2]")
    if wrong := np.flatnonzero((segments[:, 1] < segments[:, 0]) | (segments[:, 0] < 0)).tolist():
        raise InputError(
            f"{where}: proposal {wrong[0]} is {segments[wrong[0]].tolist()}; expected 0 <= start <= end in seconds"
        )
    for name, value in (("fps", fps), ("duration_seconds", duration_seconds)):
        if value is not None:
            check_range(f"{where}: {name}", value, above(0))
    if data["num_bins"] and duration_seconds is None:
        raise InputError(f"{where}: give duration_seconds, because features are rescaled to bins over the whole video")
    timing = Timing(data["fps"], data["snippet_stride"], data["snippet_length"], data["num_bins"])
    said = VideoAnnotation(video_id, (), np.zeros((0, 2)), duration_seconds=duration_seconds, fps=fps)
    reader = SecondsReader(
        "proposals_seconds", (), {video_id: said}, timing, lambda _: num_snippets, ReadReport(), set()
    )
    return reader.record(VideoProposals(video_id, segments))
