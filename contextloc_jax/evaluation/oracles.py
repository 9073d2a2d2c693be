"""What detections could reach: mAP with perfect classes, boundaries or scores."""

import numpy as np

from contextloc_jax.core.protocols import Protocol
from contextloc_jax.core.structs import Detections, GroundTruth
from contextloc_jax.evaluation.average_precision import average, class_precision, mean_over_classes
from contextloc_jax.evaluation.matching import find_pairs, finders, match, rank
from contextloc_jax.evaluation.recall import without_classes


def oracles(
    detections: Detections, ground_truth: GroundTruth, protocol: Protocol, proposals: Detections | None = None
) -> dict:
    """mAP as it is and with perfect answers: {name: {"mAP": {threshold: value}, "average_mAP": value}}.

    At every threshold the matches of the metric stay. A false detection that an oracle can fix becomes correct, at its
    place in the ranking. So no oracle lowers an AP.
    none: the metric itself.
    best_class: a false detection with tIoU >= threshold to a missed instance gets the class of the instance.
    best_boundary: a false detection that overlaps a missed instance of its class gets the boundaries of the instance.
    best_of_proposals: the share of instances (mean over classes) that any segment of `proposals` (by default, of the
      detections) meets with tIoU >= threshold: what perfect scores and classes could reach. With `proposals`, it can be
      below the metric, because boundary regression can improve segments.
    """
    truth = without_classes(ground_truth)
    ranking = rank(detections, ground_truth)  # checks classes
    label_of_row = np.empty(len(ranking.row), np.int64)
    label_of_row[ranking.row] = ranking.label
    ranking = rank(without_classes(detections), truth)
    label = label_of_row[ranking.row]
    pairs = find_pairs(ranking, truth, 0)
    sizes = np.bincount(ground_truth.label, minlength=len(ground_truth.labels))
    own = label[pairs.detection] == ground_truth.label[pairs.instance]
    columns = {"none": [], "best_class": [], "best_boundary": [], "best_of_proposals": []}
    offered = pairs if proposals is None else find_pairs(rank(without_classes(proposals), truth), truth, 0)
    for threshold in protocol.thresholds:
        finder = match(pairs.where(own), len(ground_truth.label), threshold)
        correct = finders(finder[None], len(label))[0]
        columns["none"].append(class_precision(label, correct, sizes))
        free = ~correct[pairs.detection] & (finder[pairs.instance] < 0)
        fixed = match(pairs.where(free), len(finder), threshold)
        columns["best_class"].append(_fixed_precision(label, correct, fixed, ground_truth.label, sizes))
        fixed = match(pairs.where(free & own), len(finder), 0)
        columns["best_boundary"].append(_fixed_precision(label, correct, fixed, ground_truth.label, sizes))
        met = np.zeros(len(finder), bool)
        met[offered.instance[offered.tiou >= threshold]] = True
        met = np.bincount(ground_truth.label, met, minlength=len(sizes))
        columns["best_of_proposals"].append(np.divide(met, sizes, out=np.full(len(sizes), np.nan), where=sizes > 0))
    means = {name: mean_over_classes(np.stack(column, axis=1)) for name, column in columns.items()}
    return {
        name: {
            "mAP": dict(zip(protocol.keys, mean.tolist(), strict=True)),
            "average_mAP": float(average(mean, protocol)),
        }
        for name, mean in means.items()
    }


def _fixed_precision(label, correct, fixed, instance_label, sizes) -> np.ndarray:
    """AP [K] after the detections `fixed` [G] (-1: none) found their instances."""
    found = np.flatnonzero(fixed >= 0)
    label, correct = label.copy(), correct.copy()
    label[fixed[found]] = instance_label[found]
    correct[fixed[found]] = True
    return class_precision(label, correct, sizes)
