"""What proposals and detections could reach: AR@AN with its area, and mAP with oracle classes or boundaries."""

from typing import NamedTuple

import numpy as np

from contextloc_jax.batch import Detections, GroundTruth, VideoScores
from contextloc_jax.detections import score_classes
from contextloc_jax.errors import InputError
from contextloc_jax.matching import Pairs, Ranking, find_pairs, match, rank
from contextloc_jax.metrics import average, class_precision, find_protocol, mean_over_classes

AR_THRESHOLDS = tuple(np.arange(50, 100, 5) / 100)  # ActivityNet's proposal task
STEPS = 100  # points of the AR-AN curve


class RecallCurve(NamedTuple):
    """AR@AN. counts [100] average numbers of proposals a video; recall [T, 100]; average_recall [100] over T; area
    under average_recall over counts, as a share of the largest possible."""

    counts: np.ndarray
    recall: np.ndarray
    average_recall: np.ndarray
    area: float

    def at(self, count: float) -> float:
        """Average recall at `count` proposals a video (linear between points; the nearest end outside)."""
        return float(np.interp(count, self.counts, self.average_recall))


def average_recall(
    proposals: Detections, ground_truth: GroundTruth, max_average: float = 100, thresholds=AR_THRESHOLDS
) -> RecallCurve:
    """Recall over the average number of proposals a video, whatever their class (official ActivityNet rule).

    Every video gives the same *share* of its proposals, best scores first, so that long videos give more; the
    share is chosen to average j / 100 * max_average. An instance is recalled if any of them has a tIoU >= threshold.
    Videos are those with an instance. THUMOS14 papers use max_average=1000 and read it at 50, 100, 200, 500.
    """
    if not max_average > 0:
        raise InputError(f"max_average is {max_average}, expected a positive number of proposals a video")
    thresholds = np.asarray(thresholds, np.float64)
    truth = _one_class(ground_truth)
    ranking = rank(_one_class(proposals), truth)
    instances = np.bincount(truth.video, minlength=len(truth.video_ids))
    size = np.bincount(ranking.video, minlength=len(truth.video_ids))
    wanted = max_average * np.count_nonzero(instances)
    kept = np.minimum((size * (wanted / len(ranking.row))).astype(int), size) * (instances > 0)
    if not kept.any():
        raise InputError("AR@AN: no proposal in a video with an instance; check that the files belong together")
    shares = np.arange(1, STEPS + 1) / STEPS * (wanted / kept.sum())
    retrieved = np.minimum((kept[:, None] * shares).astype(int), kept[:, None])
    place = _place_in_video(ranking, size)
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


def proposals_of(scores: list[VideoScores]) -> Detections:
    """The proposals of scored videos in seconds, each with its best class score, as one class 'proposal'."""
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


def oracles(
    detections: Detections, ground_truth: GroundTruth, protocol: str, proposals: Detections | None = None
) -> dict:
    """mAP as it is and with perfect answers: {name: {"mAP": {threshold: value}, "average_mAP": value}}.

    At every threshold the matches of the metric stay, and a false detection that an oracle can mend becomes correct
    at its place in the ranking; therefore no oracle lowers an AP.
    none: the metric itself.
    best_class: a false detection with tIoU >= threshold to an instance that nobody found gets its class.
    best_boundary: a false detection that overlaps an instance of its class that nobody found gets its boundaries.
    best_of_proposals: the share of instances (mean over classes) that any segment of `proposals` (by default, of the
      detections) meets with tIoU >= threshold: what perfect scores and classes could reach. Only with the default is
      it sure to be above the metric, since boundary regression can leave the proposals behind.
    """
    thresholds = find_protocol(protocol).thresholds
    truth = _one_class(ground_truth)
    ranking = rank(detections, ground_truth)  # checks classes
    label_of_row = np.empty(len(ranking.row), np.int64)
    label_of_row[ranking.row] = ranking.label
    ranking = rank(_one_class(detections), truth)
    label = label_of_row[ranking.row]
    pairs = find_pairs(ranking, truth, 0)
    sizes = np.bincount(ground_truth.label, minlength=len(ground_truth.labels))
    own = label[pairs.detection] == ground_truth.label[pairs.instance]
    columns = {"none": [], "best_class": [], "best_boundary": [], "best_of_proposals": []}
    offered = pairs if proposals is None else find_pairs(rank(_one_class(proposals), truth), truth, 0)
    for threshold in thresholds:
        finder = match(_select(pairs, own), len(ground_truth.label), threshold)
        correct = np.zeros(len(label), bool)
        correct[finder[finder >= 0]] = True
        columns["none"].append(class_precision(label, correct, sizes))
        free = ~correct[pairs.detection] & (finder[pairs.instance] < 0)
        mended = match(_select(pairs, free), len(finder), threshold)
        columns["best_class"].append(_mended_precision(label, correct, mended, ground_truth.label, sizes))
        mended = match(_select(pairs, free & own), len(finder), 0)
        columns["best_boundary"].append(_mended_precision(label, correct, mended, ground_truth.label, sizes))
        met = np.zeros(len(finder), bool)
        met[offered.instance[offered.tiou >= threshold]] = True
        met = np.bincount(ground_truth.label, met, minlength=len(sizes))
        columns["best_of_proposals"].append(np.divide(met, sizes, out=np.full(len(sizes), np.nan), where=sizes > 0))
    means = {name: mean_over_classes(np.stack(column, axis=1)) for name, column in columns.items()}
    keys = [f"{threshold:g}" for threshold in thresholds]
    return {
        name: {"mAP": dict(zip(keys, mean.tolist(), strict=True)), "average_mAP": float(average(mean, protocol))}
        for name, mean in means.items()
    }


def _mended_precision(label, correct, mended, instance_label, sizes) -> np.ndarray:
    """AP [K] after the detections `mended` [G] (-1: none) found their instances."""
    found = np.flatnonzero(mended >= 0)
    label, correct = label.copy(), correct.copy()
    label[mended[found]] = instance_label[found]
    correct[mended[found]] = True
    return class_precision(label, correct, sizes)


def _select(pairs: Pairs, chosen: np.ndarray) -> Pairs:
    return Pairs(*(column[chosen] for column in pairs))


def _one_class(columns):
    """Detections or GroundTruth with their classes forgotten."""
    return columns._replace(labels=["any"], label=np.zeros(len(columns.label), np.int64))


def _place_in_video(ranking: Ranking, size: np.ndarray) -> np.ndarray:
    """[N] 0 for the best-ranked of its video, 1 for the next, ..."""
    order = np.argsort(ranking.video, kind="stable")
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order)) - np.repeat(np.cumsum(size) - size, size)
    return place
