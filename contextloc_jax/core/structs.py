"""The structs that modules pass to each other. The docstring of each is a table of names, shapes, dtypes and units.

They are NamedTuples of arrays, which jax reads as pytrees, so NumPy code and jax code share them without importing
each other. Letters: V videos in a batch, T snippets (padded), D feature width, M nodes (padded), R first-hop rows,
C centers, K action classes (without background), N proposals of one video.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from contextloc_jax.core.errors import InputError

Array = Any  # np.ndarray on the host, jax.Array inside the step

FOREGROUND, INCOMPLETE, BACKGROUND = 0, 1, 2  # Targets.center_type


class Targets(NamedTuple):
    """The training targets of the centers. Slots of a video: first foreground, then incomplete, last background.

    center_type  [V, C]    int32    0 foreground, 1 incomplete, 2 background
    label        [V, C]    int32    class index 1..K; 0 for background
    regression   [V, C, 2] float32  (center shift / duration, log duration ratio), standardized
    totals       [V, 2]    int32    the numbers of centers that the losses are divided by: `count_centers` of the
                                    whole batch of a step, on all devices and processes; the same in every row
    """

    center_type: Array
    label: Array
    regression: Array
    totals: Array


def count_centers(center_type: np.ndarray) -> np.ndarray:
    """[2] int32: how many centers are in the activity loss (all except incomplete) and in the regression loss.

    center_type: as in Targets, of any shape. Only foreground centers are in the regression loss.
    """
    counts = np.count_nonzero(center_type != INCOMPLETE), np.count_nonzero(center_type == FOREGROUND)
    return np.array(counts, np.int32)


class Batch(NamedTuple):
    """One padded batch of videos with the proposals (nodes) to score and the graph between them.

    features      [V, T, D]    float32 or float16; rows >= num_snippets are padding
    num_snippets  [V]          int32    at least 1
    segments      [V, M, 3, 2] int32    first and last snippet (inclusive) of the start, action and end segment
                                        of every node; last <= first means the single snippet `first`
    node_count    [V, M]       float32  how often the node occurs in the video's trees (BatchNorm weight);
                                        1 in evaluation, 0 marks padding
    first_hop     [V, R, 5]    int32    node index of a tree row, then of its 4 children
    second_hop    [V, C, 5]    int32    row index (into R) of a center, then of its 4 children
    center_mask   [V, C]       bool     False marks padding
    example_key   [V]          uint32   the dropout key of a video, made from (seed, epoch, visit, video id)
    targets       Targets in training, None in evaluation
    """

    features: Array
    num_snippets: Array
    segments: Array
    node_count: Array
    first_hop: Array
    second_hop: Array
    center_mask: Array
    example_key: Array
    targets: Targets | None


class Scores(NamedTuple):
    """The model's scores of every center.

    activity      [..., C, K + 1]  logits; column 0 is background
    completeness  [..., C, K]      raw completeness of every class
    regression    [..., C, K, 2]   (center shift / duration, log duration ratio), standardized
    """

    activity: Array
    completeness: Array
    regression: Array


class VideoScores(NamedTuple):
    """Scores of all proposals of one video, in NumPy arrays. scores.npz holds them; detections are made from them.

    proposals     [N, 2] float64  start and end, as fractions of the video
    activity      [N, K + 1]      as in Scores
    completeness  [N, K]          as in Scores
    regression    [N, K, 2]       as in Scores, but de-standardized
    """

    video_id: str
    duration_seconds: float
    proposals: np.ndarray
    activity: np.ndarray
    completeness: np.ndarray
    regression: np.ndarray


class Detections(NamedTuple):
    """Scored segments in columns.

    video_ids  [V] str         the names of the videos
    labels     [K] str         the names of the classes
    video      [N] int64       index into video_ids
    label      [N] int64       class index: index into labels (from 0; background is not a class here)
    segments   [N, 2] float64  start and end in seconds
    scores     [N] float64
    """

    video_ids: list[str]
    labels: list[str]
    video: np.ndarray
    label: np.ndarray
    segments: np.ndarray
    scores: np.ndarray


def concatenate(parts: Sequence[Detections]) -> Detections:
    """Joins detections of different videos. InputError: `parts` is empty, or the parts differ in `labels`."""
    if not parts or any(part.labels != parts[0].labels for part in parts):
        raise InputError("concatenate: expected detections of at least one video, all with the same labels")
    video_ids = [video_id for part in parts for video_id in part.video_ids]
    if len(set(video_ids)) < len(video_ids):
        twice = next(video_id for video_id in video_ids if video_ids.count(video_id) > 1)
        raise InputError(f"concatenate: video {twice!r} occurs twice; expected every video once")
    offsets = np.cumsum([0, *(len(part.video_ids) for part in parts)])
    return Detections(
        video_ids=video_ids,
        labels=parts[0].labels,
        video=np.concatenate([part.video + offset for part, offset in zip(parts, offsets, strict=False)]),
        label=np.concatenate([part.label for part in parts]),
        segments=np.concatenate([part.segments for part in parts]),
        scores=np.concatenate([part.scores for part in parts]),
    )


class GroundTruth(NamedTuple):
    """Annotated instances in columns. video_ids lists every evaluated video, also those without an instance.

    video_ids         [V] str
    duration_seconds  [V] float64     of the videos
    labels            [K] str         the names of the classes
    video             [G] int64       index into video_ids
    label             [G] int64       class index: index into labels (from 0)
    segments          [G, 2] float64  start and end in seconds
    """

    video_ids: list[str]
    duration_seconds: np.ndarray
    labels: list[str]
    video: np.ndarray
    label: np.ndarray
    segments: np.ndarray


def check_scores(scores: Sequence[VideoScores], num_classes: int | None, where: str = "") -> None:
    """InputError unless every video occurs once and has finite scores of the right shapes for the same K classes.

    num_classes: K; None: as many as the first video has. where: the start of every message.
    """
    if not scores:
        raise InputError(f"{where}no scored video; expected at least one")
    num_classes = scores[0].completeness.shape[-1] if num_classes is None else num_classes
    seen = set()
    for video in scores:
        name = f"{where}video {video.video_id!r}"
        if video.video_id in seen:
            raise InputError(f"{name} is scored twice; expected each video once")
        seen.add(video.video_id)
        count = len(video.proposals)
        expected = {
            "proposals": (count, 2),
            "activity": (count, num_classes + 1),
            "completeness": (count, num_classes),
            "regression": (count, num_classes, 2),
        }
        for field, shape in expected.items():
            values = getattr(video, field)
            if values.shape != shape:
                raise InputError(f"{name}: {field} is {values.shape}, expected {shape} for {num_classes} classes")
            if not np.isfinite(values).all():
                row = np.argwhere(~np.isfinite(values))[0][0]
                raise InputError(f"{name}: {field} of proposal {row} is not finite; was training unstable?")
        start, end = video.proposals.T
        wrong = np.flatnonzero((start > end) | (start < 0) | (end > 1))
        if wrong.size:
            found = video.proposals[wrong[0]].tolist()
            raise InputError(f"{name}: proposal {wrong[0]} is {found}, expected 0 <= start <= end <= 1 of the video")
        if not 0 < video.duration_seconds < np.inf:
            raise InputError(f"{name}: duration is {video.duration_seconds} s, expected a positive number")
