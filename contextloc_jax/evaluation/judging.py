"""The only judge: ranks and matches detections once, and gives a verdict on each.

Metrics, intervals, the diagnosis and the report all read the same `Judged`, so they cannot disagree.

A detection is correct if it finds an instance, by the rules of matching.py. A detection that finds none is judged by
its best instance: the one in its video, of any class, with the best tIoU. Among instances with equal tIoU, one of the
detection's class is preferred. (DETAD takes any of them. THUMOS14 annotates every CliffDiving as Diving too, so DETAD
calls half of such detections wrong.) The kinds of error are those of DETAD (Alwassel et al., Diagnosing Error in
Temporal Action Detectors, ECCV 2018).
"""

from typing import NamedTuple

import numpy as np

from contextloc_jax.core.groups import first_of_group
from contextloc_jax.core.protocols import Protocol
from contextloc_jax.core.segments import tiou_of
from contextloc_jax.core.structs import Detections, GroundTruth
from contextloc_jax.evaluation.matching import Matches, Pairs, find_pairs, match_all, rank

NEAR_TIOU = 0.1  # a detection whose best tIoU is below this is background
VERDICTS = {  # in the order of their codes; {tiou}: the threshold, {near}: NEAR_TIOU
    "correct": "In decreasing score, each detection takes the free instance of its class with the best tIoU, if that is"
    " {tiou:g} or more.",
    "double detection": "Its best instance is of its class with tIoU {tiou:g} or more, but a better-ranked detection"
    " has taken it.",
    "wrong label": "Its best instance is of another class, with tIoU {tiou:g} or more.",
    "localization": "Its best instance is of its class, but their tIoU is below {tiou:g} (and {near:g} or more).",
    "confusion": "Its best instance is of another class, with tIoU below {tiou:g} (and {near:g} or more).",
    "background": "Its tIoU is below {near:g} with every instance.",
}
CORRECT, DOUBLE, WRONG_LABEL, LOCALIZATION, CONFUSION, BACKGROUND = range(len(VERDICTS))


class Judged(NamedTuple):
    """N ranked detections, what they find at the protocol's T thresholds, and their verdicts at its D diagnosed ones.

    verdict        [D, N] int64    code: index into VERDICTS
    best_instance  [N]    int64    index into the ground truth's instances; -1 if none overlaps
    best_tiou      [N]    float64  tIoU with the best instance; 0 if none overlaps
    """

    protocol: Protocol
    matches: Matches
    verdict: np.ndarray
    best_instance: np.ndarray
    best_tiou: np.ndarray

    @property
    def finder(self) -> np.ndarray:
        """[D, G] int64: matches.finder at the diagnosed thresholds."""
        return self.matches.finder[_diagnosed(self.protocol)]

    @property
    def detections(self) -> Detections:
        """The detections in the order of the ranking, with the names and indices of the ground truth."""
        ranking, truth = self.matches.ranking, self.matches.ground_truth
        names = truth.video_ids, truth.labels
        return Detections(*names, ranking.video, ranking.label, ranking.segments, ranking.scores)

    def instance_of_each(self, d: int) -> tuple[np.ndarray, np.ndarray]:
        """The instance [N] that each detection finds at diagnosed threshold d, else its best one; their tIoU [N]."""
        ranking, truth = self.matches.ranking, self.matches.ground_truth
        instance, tiou = self.best_instance.copy(), self.best_tiou.copy()
        found = np.flatnonzero(self.finder[d] >= 0)
        by = self.finder[d, found]
        instance[by] = found
        tiou[by] = tiou_of(*ranking.segments[by].T, *truth.segments[found].T)
        return instance, tiou


def judge(detections: Detections, ground_truth: GroundTruth, protocol: Protocol) -> Judged:
    """Ranks, matches and judges detections, once for all results. InputError: as for matching.rank."""
    ranking = rank(detections, ground_truth)
    pairs = find_pairs(ranking, ground_truth, 0, any_label=True)
    own = ranking.label[pairs.detection] == ground_truth.label[pairs.instance]
    matches = match_all(ranking, pairs.where(own), ground_truth, protocol.thresholds)
    best_instance, best_tiou, same = _best(pairs, own, len(ranking.row))
    met = best_tiou >= np.array(protocol.diagnosed)[:, None]
    near = best_tiou >= NEAR_TIOU
    cases = [matches.correct[_diagnosed(protocol)], met & same, met, near & same, near]
    return Judged(protocol, matches, np.select(cases, range(BACKGROUND), BACKGROUND), best_instance, best_tiou)


def explanations(threshold: float) -> dict[str, str]:
    """{verdict: when it is given at this tIoU threshold}, for people to read."""
    return {name: text.format(tiou=threshold, near=NEAR_TIOU) for name, text in VERDICTS.items()}


def _best(pairs: Pairs, own: np.ndarray, num_detections: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Best instance, its tIoU and whether it is of the detection's class: [N] each; own [P]: pairs of one class."""
    instance, same = np.full(num_detections, -1), np.zeros(num_detections, bool)
    tiou = np.zeros(num_detections)
    first = np.flatnonzero(first_of_group(pairs.detection))  # pairs of a detection come by decreasing tIoU
    tiou[pairs.detection[first]] = pairs.tiou[first]
    equal = np.flatnonzero(pairs.tiou == tiou[pairs.detection])
    equal = equal[np.lexsort((~own[equal], pairs.detection[equal]))]
    best = equal[first_of_group(pairs.detection[equal])]
    instance[pairs.detection[best]], same[pairs.detection[best]] = pairs.instance[best], own[best]
    return instance, tiou, same


def _diagnosed(protocol: Protocol) -> np.ndarray:
    """[T] bool: the thresholds that are diagnosed."""
    return np.isin(protocol.thresholds, protocol.diagnosed)
