"""Why a detector fails, after DETAD (Alwassel et al., Diagnosing Error in Temporal Action Detectors, ECCV 2018).

The kinds of error are the verdicts of judging.py. AP_N is AP, computed as if every class, or part of a class, had the
dataset's mean number of instances. This makes bins of different size comparable. Numbers are means over the protocol's
diagnosed thresholds.
"""

import numpy as np

from contextloc_jax.evaluation.average_precision import class_precision
from contextloc_jax.evaluation.characteristics import Characteristic, characteristics
from contextloc_jax.evaluation.judging import CORRECT, VERDICTS, Judged
from contextloc_jax.evaluation.matching import finders

RANK_GROUPS = 10  # groups of the false-positive profile; each is as large as the number of instances of the class (G)
LEAST_PRECISION = 0.05  # normalized precision at which DETAD stops counting an instance as found


def diagnose(judged: Judged) -> dict:
    """All results of this module, as plain numbers for a JSON file.

    {"protocol": its name, "thresholds": those diagnosed,
     "false_positives": {"by_rank": [{verdict: share}], "all": {verdict: share}},
     "without_error": {verdict: {"mAP": value, "gain": value}},
     "sensitivity": {"mAP_N": value, characteristic: {bin: {"mAP_N": value or null, "instances": count}}},
     "false_negatives": {"missed": share, characteristic: {bin: share or null}}}
    """
    kinds = characteristics(judged.matches.ground_truth, judged.protocol)
    return {
        "protocol": judged.protocol.name,
        "thresholds": list(judged.protocol.diagnosed),
        "false_positives": false_positive_profile(judged),
        "without_error": without_each_error(judged),
        "sensitivity": sensitivity(judged, kinds),
        "false_negatives": false_negative_profile(judged, kinds),
    }


def false_positive_profile(judged: Judged) -> dict:
    """Shares of verdicts by rank: entry g of "by_rank" is for the detections ranked (g, g + 1] times G in their class.

    G is the number of instances of the class. Classes without an instance count only in "all". The list ends early if
    there are no detections of a rank.
    """
    ranking = judged.matches.ranking
    size = judged.matches.class_size[ranking.label]
    group = np.where(size > 0, ranking.place // np.maximum(size, 1), RANK_GROUPS)
    by_rank = [_shares(judged.verdict[:, group == g]) for g in range(RANK_GROUPS) if np.any(group == g)]
    return {"by_rank": by_rank, "all": _shares(judged.verdict)}


def without_each_error(judged: Judged) -> dict:
    """The mAP of the metric (not AP_N) when all detections with one kind of error are removed, and the gain."""
    base = _mean_precision(judged)
    found = {}
    for code, name in enumerate(VERDICTS):
        if code != CORRECT:
            value = _mean_precision(judged, judged.verdict != code)
            found[name] = {"mAP": value, "gain": value - base}
    return found


def sensitivity(judged: Judged, kinds: dict[str, Characteristic]) -> dict:
    """mAP_N of the instances of every bin. Detections that find instances of other bins are ignored."""
    label, usual = judged.matches.ground_truth.label, _usual_size(judged)
    false = judged.verdict != CORRECT
    found: dict = {"mAP_N": _mean_precision(judged, usual=usual)}
    for name, kind in kinds.items():
        found[name] = {}
        for b, bin_name in enumerate(kind.names):
            inside = kind.bin == b
            value = None
            if inside.any():
                kept = false | finders(np.where(inside, judged.finder, -1), false.shape[1])
                sizes = np.bincount(label[inside], minlength=len(judged.matches.class_size))
                value = _mean_precision(judged, kept, sizes, usual)
            found[name][bin_name] = {"mAP_N": value, "instances": int(inside.sum())}
    return found


def false_negative_profile(judged: Judged, kinds: dict[str, Characteristic]) -> dict:
    """Share of instances that no detection finds, in all and in every bin.

    DETAD's rule: a detection ranked where the normalized precision of its class is at most 0.05 finds nothing.
    """
    useful = np.stack([_useful(judged, d) for d in range(len(judged.verdict))])
    useful = np.pad(useful, ((0, 0), (0, 1)))  # position -1: no detection found the instance
    missed = 1 - np.take_along_axis(useful, judged.finder, axis=1).mean(axis=0)
    found: dict = {"missed": float(missed.mean())}
    for name, kind in kinds.items():
        bins = {bin_name: missed[kind.bin == b] for b, bin_name in enumerate(kind.names)}
        found[name] = {bin_name: float(values.mean()) if values.size else None for bin_name, values in bins.items()}
    return found


def _usual_size(judged: Judged) -> float:
    """Mean number of instances of the classes that have any: the N of AP_N."""
    sizes = judged.matches.class_size
    return float(sizes[sizes > 0].mean())


def _shares(verdict: np.ndarray) -> dict[str, float]:
    counts = np.bincount(verdict.ravel(), minlength=len(VERDICTS))
    return dict(zip(VERDICTS, (counts / verdict.size).tolist(), strict=True))


def _mean_precision(
    judged: Judged, kept: np.ndarray | None = None, sizes: np.ndarray | None = None, usual: float | None = None
) -> float:
    """Mean over thresholds and classes of AP; of AP_N if `usual` is given.

    kept: [D, N] bool, the detections that count; by default all. sizes: [K], the numbers of instances that count.
    """
    sizes = judged.matches.class_size if sizes is None else sizes
    label = judged.matches.ranking.label
    values = []
    for d, verdict in enumerate(judged.verdict):
        rows = slice(None) if kept is None else kept[d]
        ap = class_precision(label[rows], verdict[rows] == CORRECT, sizes, usual)
        values.append(ap[sizes > 0].mean())
    return float(np.mean(values))


def _useful(judged: Judged, d: int) -> np.ndarray:
    """[N] bool: correct, at a rank where the normalized precision is above LEAST_PRECISION."""
    ranking, correct = judged.matches.ranking, judged.verdict[d] == CORRECT
    before = np.concatenate([[0], np.cumsum(correct)])
    found = before[1:] - before[ranking.class_start[ranking.label]]
    false = ranking.place + 1 - found
    sizes = judged.matches.class_size[ranking.label]
    weighted = found * (_usual_size(judged) / np.maximum(sizes, 1))
    return correct & (weighted > LEAST_PRECISION * (weighted + false))
