"""From scores of proposals to detections: best pairs, NMS, boundary regression, in the authors' order.

All steps compute in fractions of the video, and scores keep their precision (float32 from the model, float64 after
fusion), because the authors' code does so (golden nms.npz). Only the last step converts to seconds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from contextloc_jax.core.errors import InputError
from contextloc_jax.core.protocols import Protocol
from contextloc_jax.core.ranges import Range, above, at_least, between, check_ranges, one_of
from contextloc_jax.core.structs import Detections, GroundTruth, VideoScores, check_scores
from contextloc_jax.core.suppression import nms as hard_nms
from contextloc_jax.core.suppression import soft_nms
from contextloc_jax.localization.class_scores import check_class_scores_file, find_class_scores


@dataclass(frozen=True)
class DetectionSettings:
    """How scores become detections, and under which protocol they are measured: the values of config.detection.

    top_k: how many (proposal, class) pairs of a video are kept.
    nms: 'hard', 'linear' or 'gaussian' (Soft-NMS, which lowers scores), or 'none'.
    nms_tiou: a detection whose tIoU with a better one is above this is suppressed; 'gaussian' does not use it.
    sigma: of 'gaussian'.
    class_scores: '' for none, 'oracle' or a file (class_scores.py).
    class_top_k: how many classes of a video are kept, the best by class_scores (equal scores: the earlier class);
      0: all.

    InputError, when they are made: a value is outside RANGES, or the file of class scores does not exist.
    """

    protocol: Protocol
    top_k: int
    nms_tiou: float
    nms: str
    class_scores: str
    class_top_k: int
    sigma: float = 0.5  # Soft-NMS's own (Bodla et al., ICCV 2017)

    RANGES: ClassVar[Mapping[str, Range]] = {
        "top_k": at_least(1),
        "nms_tiou": between(0, 1),
        "nms": one_of("hard", "linear", "gaussian", "none"),
        "class_top_k": at_least(0),
        "sigma": above(0),
    }

    def __post_init__(self):
        check_ranges("detection.", vars(self), self.RANGES)
        check_class_scores_file(self.class_scores)


def detect(
    scores: Sequence[VideoScores],
    labels: Sequence[str],
    settings: DetectionSettings,
    ground_truth: GroundTruth | None = None,
) -> Detections:
    """Detections in seconds: rows by video, class and decreasing score.

    1. score(class) = softmax(activity)[class] * exp(completeness[class]). If the settings name class scores, it is
       multiplied by that of the video and class; a class with 0 is dropped.
    2. The `top_k` best (proposal, class) pairs of a video are kept. Among equal scores, the earlier proposal goes
       first, then the earlier class.
    3. NMS for each video and class.
    4. Regression of the remaining segments (golden rule: segments change, scores do not).

    labels: K class names, in the order of the score columns. ground_truth: only class_scores 'oracle' reads it.
    InputError: scores are not finite, a proposal is reversed or outside [0, 1], the number of classes is another, a
    video occurs twice or has no class scores, or the file of class scores cannot be read.
    """
    if not len(labels):
        raise InputError("detect: no class names; expected one for every score column")
    check_scores(scores, len(labels))
    video_ids = [video.video_id for video in scores]
    class_scores = find_class_scores(settings.class_scores, video_ids, labels, ground_truth)
    pairs = [_best_pairs(v, settings.top_k, _class_weights(v, class_scores, settings.class_top_k)) for v in scores]
    counts = [len(pair_scores) for _, _, pair_scores in pairs]
    video = np.repeat(np.arange(len(scores)), counts)
    label = _concatenate([label for _, label, _ in pairs], (0,), np.int64)
    pair_scores = _concatenate([pair_scores for _, _, pair_scores in pairs], (0,), np.float64)
    segments = _concatenate([v.proposals[p] for v, (p, _, _) in zip(scores, pairs, strict=True)], (0, 2), np.float64)
    shifts = _concatenate([v.regression[p, c] for v, (p, c, _) in zip(scores, pairs, strict=True)], (0, 2), np.float64)
    kept, pair_scores = _suppress(segments, pair_scores, video * len(labels) + label, settings)
    segments = regress(segments[kept], shifts[kept])
    duration = np.array([video.duration_seconds for video in scores], np.float64)
    return Detections(
        video_ids=video_ids,
        labels=list(labels),
        video=video[kept],
        label=label[kept],
        segments=segments * duration[video[kept], None],
        scores=pair_scores,
    )


def score_classes(activity: np.ndarray, completeness: np.ndarray) -> np.ndarray:
    """softmax(activity [N, K + 1])[1:] * exp(completeness [N, K]) -> [N, K], in the precision of the arguments."""
    exponential = np.exp(activity - activity.max(axis=-1, keepdims=True))
    with np.errstate(over="ignore"):  # detect() reports an overflow, with the name of the video
        return (exponential / exponential.sum(axis=-1, keepdims=True))[:, 1:] * np.exp(completeness)


def regress(segments: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    """Segments [N, 2] (fractions of the video) moved by shifts [N, 2] and clipped to [0, 1] (golden regress_*).

    center += duration * shift[0]; duration *= exp(shift[1]).
    """
    start, end = segments.T
    duration = end - start
    center = (start + end) / 2 + duration * shifts[:, 0]
    half = duration * np.exp(shifts[:, 1]) / 2
    return np.clip(np.stack([center - half, center + half], axis=1), 0, 1)


def _best_pairs(
    video: VideoScores, top_k: int, class_weights: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Proposals, class indices and scores of the best pairs, in (proposal, class) order."""
    pair_scores = score_classes(video.activity, video.completeness)
    if class_weights is not None:
        pair_scores = pair_scores * class_weights
    flat = pair_scores.ravel()
    allowed = np.arange(flat.size)
    if class_weights is not None:
        allowed = allowed[np.tile(class_weights > 0, len(pair_scores))]
    if allowed.size > top_k:
        values = flat[allowed]
        cut = np.partition(values, -top_k)[-top_k]
        above, equal = allowed[values > cut], allowed[values == cut]
        allowed = np.sort(np.concatenate([above, equal[: top_k - above.size]]))
    proposal, label = np.divmod(allowed, pair_scores.shape[1])
    if not np.isfinite(flat[allowed]).all():
        raise InputError(f"video {video.video_id!r}: exp(completeness) overflows; check the model")
    return proposal, label, flat[allowed]


def _class_weights(
    video: VideoScores, class_scores: Mapping[str, np.ndarray] | None, class_top_k: int
) -> np.ndarray | None:
    """[K]: the factors of the class scores of a video; 0 drops a class. None: there are no factors."""
    if class_scores is None:
        return None
    weights = class_scores[video.video_id]
    if 0 < class_top_k < len(weights):
        weights = weights.copy()
        weights[np.argsort(-weights, kind="stable")[class_top_k:]] = 0
    return weights


def _suppress(segments, scores, groups, settings: DetectionSettings) -> tuple[np.ndarray, np.ndarray]:
    """The kept rows, by group and decreasing score, and their scores."""
    if settings.nms == "none":
        kept = np.lexsort((-scores, groups))
        return kept, scores[kept]
    if settings.nms == "hard":
        kept = hard_nms(segments, scores, groups, settings.nms_tiou)
        return kept, scores[kept]
    return soft_nms(segments, scores, groups, settings.nms, settings.nms_tiou, settings.sigma)


def _concatenate(parts: list[np.ndarray], empty_shape: tuple[int, ...], dtype) -> np.ndarray:
    return np.concatenate([np.zeros(empty_shape, dtype), *parts]).astype(dtype)


def proposals_of(scores: list[VideoScores]) -> Detections:
    """The proposals of scored videos in seconds, each with its best class score, all of the one class 'proposal'."""
    counts = [len(video.proposals) for video in scores]
    best = [score_classes(video.activity, video.completeness).max(axis=1) for video in scores]
    seconds = [np.asarray(video.proposals, np.float64) * video.duration_seconds for video in scores]
    return Detections(
        [video.video_id for video in scores],
        ["proposal"],
        np.repeat(np.arange(len(scores)), counts),
        np.zeros(sum(counts), np.int64),
        np.concatenate([np.zeros((0, 2)), *seconds]),
        np.concatenate([np.zeros(0), *best]).astype(np.float64),
    )
