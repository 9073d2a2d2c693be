"""Recall of proposals: AR@AN and its area."""

from typing import NamedTuple

import numpy as np

from contextloc_jax.core.errors import InputError
from contextloc_jax.core.groups import places
from contextloc_jax.core.structs import Detections, GroundTruth
from contextloc_jax.evaluation.matching import find_pairs, rank

AR_THRESHOLDS = tuple(np.arange(50, 100, 5) / 100)  # ActivityNet's proposal task
STEPS = 100  # points of the AR-AN curve


class RecallCurve(NamedTuple):
    """AR@AN at 100 average numbers of proposals per video, AN.

    counts [100] the values of AN; recall [T, 100] at T tIoU thresholds; average_recall [100], the mean over T;
    area under average_recall over counts, as a share of the largest possible area.
    """

    counts: np.ndarray
    recall: np.ndarray
    average_recall: np.ndarray
    area: float

    def at(self, count: float) -> float:
        """Average recall at `count` proposals per video: linear between points; outside them, that of the nearest."""
        return float(np.interp(count, self.counts, self.average_recall))


def average_recall(
    proposals: Detections, ground_truth: GroundTruth, max_average: float = 100, thresholds=AR_THRESHOLDS
) -> RecallCurve:
    """Recall over the average number of proposals per video, for proposals of any class (official ActivityNet rule).

    Every video gives the same *share* of its proposals, best scores first, so long videos give more. At point j, the
    share is chosen so that the average is j / 100 * max_average. An instance is recalled if any of these proposals has
    a tIoU >= threshold. Videos are those with an instance. THUMOS14 papers use max_average=1000 and read the curve at
    50, 100, 200, 500. InputError: as for matching.rank; also no proposal in a video with an instance.
    """
    if not max_average > 0:
        raise InputError(f"max_average is {max_average}, expected a positive number of proposals per video")
    thresholds = np.asarray(thresholds, np.float64)
    truth = without_classes(ground_truth)
    ranking = rank(without_classes(proposals), truth)
    instances = np.bincount(truth.video, minlength=len(truth.video_ids))
    size = np.bincount(ranking.video, minlength=len(truth.video_ids))
    wanted = max_average * np.count_nonzero(instances)
    kept = np.minimum((size * (wanted / len(ranking.row))).astype(int), size) * (instances > 0)
    if not kept.any():
        raise InputError("AR@AN: no proposal in a video with an instance; check that the files belong together")
    shares = np.arange(1, STEPS + 1) / STEPS * (wanted / kept.sum())
    retrieved = np.minimum((kept[:, None] * shares).astype(int), kept[:, None])
    place = places(ranking.video)
    pairs = find_pairs(ranking, truth, thresholds.min())
    recall = np.zeros((len(thresholds), STEPS))
    for t, threshold in enumerate(thresholds):
        enough = pairs.tiou >= threshold
        first = np.full(len(truth.label), np.iinfo(np.int64).max)
        np.minimum.at(first, pairs.instance[enough], place[pairs.detection[enough]])
        recall[t] = (first[:, None] < retrieved[truth.video]).mean(axis=0)
    counts = np.arange(1, STEPS + 1) / STEPS * max_average
    mean = recall.mean(axis=0)
    return RecallCurve(counts, recall, mean, float(np.trapezoid(mean, counts) / counts[-1]))


def without_classes(columns):
    """Detections or GroundTruth in which everything is of the one class 'any'."""
    return columns._replace(labels=["any"], label=np.zeros(len(columns.label), np.int64))
