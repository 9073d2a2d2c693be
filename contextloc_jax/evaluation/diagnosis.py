"""Why a detector fails, after DETAD (Alwassel et al., Diagnosing Error in Temporal Action Detectors, ECCV 2018).

A detection that finds no instance is, by the best tIoU it has with any instance of its video,
  double detection   >= threshold, of its class: another detection has found that instance
  wrong label        >= threshold, of another class
  localization       0.1 to threshold, of its class
  confusion          0.1 to threshold, of another class
  background         below 0.1.
Instances of equal tIoU: one of the detection's class is preferred (DETAD takes any of them, which calls half of
THUMOS14's doubly annotated CliffDiving / Diving wrong). AP_N is AP as if every class, or part of it, had the dataset's
mean number of instances: only so are bins of different size comparable. Numbers are means over the thresholds:
0.5 for thumos14, 0.5 to 0.95 for activitynet.
"""

from typing import NamedTuple

import numpy as np

from contextloc_jax.core.protocols import find_protocol
from contextloc_jax.core.structs import Detections, GroundTruth
from contextloc_jax.evaluation.average_precision import class_precision
from contextloc_jax.evaluation.characteristics import characteristics
from contextloc_jax.evaluation.matching import Matches, find_matches, find_pairs

VERDICTS = ("correct", "double detection", "wrong label", "localization", "confusion", "background")
CORRECT, DOUBLE, WRONG_LABEL, LOCALIZATION, CONFUSION, BACKGROUND = range(6)
NEAR_TIOU = 0.1  # below it a detection is background
RANK_GROUPS = 10  # of the false-positive profile, each as large as the number of instances of the class (G)
LEAST_PRECISION = 0.05  # normalized precision at which DETAD stops counting an instance as found


class Judged(NamedTuple):
    """Matches, the verdict [T, N] on every detection (index into VERDICTS) and class_size [K] in instances."""

    matches: Matches
    verdict: np.ndarray
    class_size: np.ndarray

    @property
    def usual_size(self) -> float:
        """Mean number of instances of the classes that have any: the N of AP_N."""
        return float(self.class_size[self.class_size > 0].mean())


def diagnose(detections: Detections, ground_truth: GroundTruth, protocol: str, thresholds=None) -> dict:
    """Everything below, as plain numbers for a JSON file; InputErrors as of matching.rank.

    {"protocol", "thresholds",
     "false_positives": {"by_rank": [{verdict: share}], "all": {verdict: share}},
     "without_error": {verdict: {"mAP": value, "gain": value}},
     "sensitivity": {"mAP_N": value, characteristic: {bin: {"mAP_N": value or null, "instances": count}}},
     "false_negatives": {"missed": share, characteristic: {bin: share or null}}}
    """
    if thresholds is None:
        thresholds = (0.5,) if protocol == "thumos14" else find_protocol(protocol).thresholds
    judged = judge(detections, ground_truth, thresholds)
    return {
        "protocol": protocol,
        "thresholds": [float(threshold) for threshold in thresholds],
        "false_positives": false_positive_profile(judged),
        "without_error": without_each_error(judged),
        "sensitivity": sensitivity(judged, ground_truth, protocol),
        "false_negatives": false_negative_profile(judged, ground_truth, protocol),
    }


def judge(detections: Detections, ground_truth: GroundTruth, thresholds) -> Judged:
    """Matches at every threshold (matching.py's rules) and a verdict on every detection."""
    matches = find_matches(detections, ground_truth, thresholds)
    pairs = find_pairs(matches.ranking, ground_truth, NEAR_TIOU, any_label=True)
    own = matches.ranking.label[pairs.detection] == ground_truth.label[pairs.instance]
    best, best_own = np.zeros((2, len(matches.ranking.row)))
    np.maximum.at(best, pairs.detection, pairs.tiou)
    np.maximum.at(best_own, pairs.detection[own], pairs.tiou[own])
    same, near = best_own == best, best >= NEAR_TIOU
    met = best >= matches.thresholds[:, None]
    cases = [matches.correct, met & same, met, near & same & ~met, near & ~met]
    sizes = np.bincount(ground_truth.label, minlength=len(ground_truth.labels))
    return Judged(matches, np.select(cases, range(BACKGROUND), BACKGROUND), sizes)


def false_positive_profile(judged: Judged) -> dict:
    """Shares of verdicts by rank: entry g of "by_rank" is of the detections ranked (g, g + 1] times G in their class.

    G is the number of instances of the class; classes without an instance count in "all" alone. Lists end early where
    there are no detections of that rank.
    """
    ranking = judged.matches.ranking
    place = np.arange(len(ranking.row)) - ranking.class_start[ranking.label]
    size = judged.class_size[ranking.label]
    group = np.where(size > 0, place // np.maximum(size, 1), RANK_GROUPS)
    by_rank = [_shares(judged.verdict[:, group == g]) for g in range(RANK_GROUPS) if np.any(group == g)]
    return {"by_rank": by_rank, "all": _shares(judged.verdict)}


def without_each_error(judged: Judged) -> dict:
    """The metric's mAP (not AP_N) when all detections with one kind of error are taken away, and the gain."""
    base = _mean_precision(judged, lambda t: slice(None))
    found = {}
    for code, name in enumerate(VERDICTS[1:], start=1):
        value = _mean_precision(judged, lambda t, code=code: judged.verdict[t] != code)
        found[name] = {"mAP": value, "gain": value - base}
    return found


def sensitivity(judged: Judged, ground_truth: GroundTruth, protocol: str) -> dict:
    """mAP_N of the instances of every bin: detections that find instances of other bins are set aside."""
    finder = judged.matches.finder
    found: dict = {"mAP_N": _mean_precision(judged, lambda t: slice(None), usual=judged.usual_size)}
    for name, kind in characteristics(ground_truth, protocol).items():
        found[name] = {}
        for b, label in enumerate(kind.names):
            inside = kind.bin == b
            sizes = np.bincount(ground_truth.label[inside], minlength=len(judged.class_size))

            def keep(t, inside=inside):
                kept = judged.verdict[t] != CORRECT
                kept[finder[t, inside & (finder[t] >= 0)]] = True
                return kept

            value = _mean_precision(judged, keep, sizes, judged.usual_size) if inside.any() else None
            found[name][label] = {"mAP_N": value, "instances": int(inside.sum())}
    return found


def false_negative_profile(judged: Judged, ground_truth: GroundTruth, protocol: str) -> dict:
    """Share of instances that no detection finds, in all and in every bin.

    DETAD's rule: a detection ranked where the normalized precision of its class is at most 0.05 finds nothing.
    """
    finder = judged.matches.finder
    useful = np.stack([_useful(judged, t) for t in range(len(finder))])
    useful = np.pad(useful, ((0, 0), (0, 1)))  # position -1: nobody found the instance
    missed = 1 - np.take_along_axis(useful, finder, axis=1).mean(axis=0)
    found: dict = {"missed": float(missed.mean())}
    for name, kind in characteristics(ground_truth, protocol).items():
        bins = {label: missed[kind.bin == b] for b, label in enumerate(kind.names)}
        found[name] = {label: float(values.mean()) if values.size else None for label, values in bins.items()}
    return found


def _shares(verdict: np.ndarray) -> dict[str, float]:
    counts = np.bincount(verdict.ravel(), minlength=len(VERDICTS))
    return dict(zip(VERDICTS, (counts / verdict.size).tolist(), strict=True))


def _mean_precision(judged: Judged, keep, sizes: np.ndarray | None = None, usual: float | None = None) -> float:
    """Mean over thresholds and classes of AP (AP_N where `usual` is given) of the detections keep(t)."""
    sizes = judged.class_size if sizes is None else sizes
    label = judged.matches.ranking.label
    values = []
    for t, verdict in enumerate(judged.verdict):
        kept = keep(t)
        ap = class_precision(label[kept], verdict[kept] == CORRECT, sizes, usual)
        values.append(ap[sizes > 0].mean())
    return float(np.mean(values))


def _useful(judged: Judged, t: int) -> np.ndarray:
    """[N] bool: correct, at a rank where the normalized precision is above LEAST_PRECISION."""
    ranking, correct = judged.matches.ranking, judged.verdict[t] == CORRECT
    before = np.concatenate([[0], np.cumsum(correct)])
    first = ranking.class_start[ranking.label]
    found = before[1:] - before[first]
    false = np.arange(len(correct)) + 1 - first - found
    weighted = found * (judged.usual_size / np.maximum(judged.class_size[ranking.label], 1))
    return correct & (weighted > LEAST_PRECISION * (weighted + false))
