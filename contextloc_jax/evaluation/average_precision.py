"""Mean average precision under named protocols: the content of metrics.json.

AP is VOC 2011's: precision is interpolated (at each recall the best precision at this or a higher recall) and averaged
over the instances of a class. How detections find instances, and every tie, is decided in matching.py. A class
without an instance in the evaluated videos has no AP: it is left out of every mean and listed; a class with instances
but without detections has AP 0. A video without detections stays in: its instances are missed.
"""

from collections.abc import Sequence

import numpy as np

from contextloc_jax.core.protocols import Protocol, find_protocol
from contextloc_jax.core.structs import Detections, GroundTruth
from contextloc_jax.evaluation.matching import Matches, find_matches


def evaluate(detections: Detections, ground_truth: GroundTruth, protocol: Protocol | str) -> dict:
    """mAP and AP of detections under a protocol ('thumos14' or 'activitynet'), as plain numbers in [0, 1].

    {"protocol": its name, "mAP": {threshold: value}, "average_mAP", "videos", "instances", "detections",
    "AP": {class: {threshold: value}}, "classes_without_instances": [class]}; thresholds are tIoU, written with the
    fewest digits ("0.5", "0.55"). InputError: as for matching.rank; also an unknown protocol.
    """
    protocol = find_protocol(protocol)
    return summarize(find_matches(detections, ground_truth, protocol.thresholds), protocol)


def summarize(matches: Matches, protocol: Protocol) -> dict:
    """The dict of `evaluate`, from matches at the protocol's thresholds."""
    ap = ranked_precision(matches)
    mean = mean_over_classes(ap)
    named = list(zip(matches.ground_truth.labels, ap.tolist(), strict=True))
    return {
        "protocol": protocol.name,
        "mAP": dict(zip(protocol.keys, mean.tolist(), strict=True)),
        "average_mAP": float(average(mean, protocol)),
        "videos": len(matches.ground_truth.video_ids),
        "instances": len(matches.ground_truth.label),
        "detections": len(matches.ranking.row),
        "AP": {name: dict(zip(protocol.keys, row, strict=True)) for name, row in named if not np.isnan(row[0])},
        "classes_without_instances": [name for name, row in named if np.isnan(row[0])],
    }


def average_precision(detections: Detections, ground_truth: GroundTruth, thresholds: Sequence[float]) -> np.ndarray:
    """AP [K, T] float64 of every class at every tIoU threshold; NaN for a class without an instance."""
    return ranked_precision(find_matches(detections, ground_truth, thresholds))


def ranked_precision(matches: Matches) -> np.ndarray:
    """AP [K, T] of matches; NaN for a class without an instance."""
    label, sizes = matches.ranking.label, matches.class_size
    return np.stack([class_precision(label, correct, sizes) for correct in matches.correct], axis=1)


def class_precision(
    label: np.ndarray, correct: np.ndarray, num_instances: np.ndarray, usual_instances: float | None = None
) -> np.ndarray:
    """AP [K] of detections at one threshold; NaN for a class without an instance.

    label [N] class index and correct [N] bool of every detection, by decreasing score within its class.
    num_instances [K]. usual_instances: AP is computed as if every class had this number of instances (DETAD's
    normalized AP), to compare classes or parts of them.
    """
    by_class = np.argsort(label, kind="stable")
    hits = by_class[np.flatnonzero(correct[by_class])]
    first = np.searchsorted(label[by_class], np.arange(len(num_instances)))
    place = np.flatnonzero(correct[by_class]) - first[label[hits]] + 1
    ap = np.full(len(num_instances), np.nan)
    ends = np.searchsorted(label[hits], np.arange(len(num_instances) + 1))
    for c in np.flatnonzero(num_instances):
        found = np.arange(1, ends[c + 1] - ends[c] + 1)
        false = place[ends[c] : ends[c + 1]] - found
        weighted = found if usual_instances is None else found * (usual_instances / num_instances[c])
        ap[c] = interpolated_sum(weighted / (weighted + false)) / num_instances[c]
    return ap


def interpolated_sum(precision: np.ndarray) -> float:
    """Sum of interpolated precisions over the correct detections. precision: [n], at each of them, in rank order."""
    return float(np.maximum.accumulate(precision[::-1]).sum())


def mean_over_classes(ap: np.ndarray) -> np.ndarray:
    """mAP [T] of AP [K, T]: the mean over the classes that have an instance."""
    return ap[~np.isnan(ap).any(axis=1)].mean(axis=0)


def average(mean_ap: np.ndarray, protocol: Protocol) -> np.ndarray:
    """The protocol's average of mAP [..., T] over thresholds."""
    return mean_ap[..., np.isin(protocol.thresholds, protocol.averaged)].mean(axis=-1)
