"""Which detection finds which instance: the rules of the official evaluators, for all videos and classes at once.

Ranking: by decreasing score within a class; equal scores by video id, then start, then end, so that the order of rows
in a file changes nothing. In that order each detection takes the free instance of its class and video with the
best tIoU, if that is at least the threshold; a tIoU equal to the threshold is enough (golden rule of AP). Equal
tIoU: the instance that starts later, then the one that ends later, is tried first, as the official code does with
annotations in time order. Identical instances count as often as they are annotated; identical detections are each
ranked, and those that find no free instance are false.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from contextloc_jax.core.errors import InputError, some_of
from contextloc_jax.core.groups import first_of_group
from contextloc_jax.core.segments import tiou_of
from contextloc_jax.core.structs import Detections, GroundTruth

PAIRS_AT_ONCE = 2**21  # limits the memory for videos with many detections and instances


class Ranking(NamedTuple):
    """N detections by class, then decreasing score, with the ground truth's indices.

    row [N] their rows in Detections; video [N], label [N] indices into GroundTruth.video_ids and .labels;
    segments [N, 2] seconds; scores [N]; class_start [K + 1]: class c is class_start[c]:class_start[c + 1].
    """

    row: np.ndarray
    video: np.ndarray
    label: np.ndarray
    segments: np.ndarray
    scores: np.ndarray
    class_start: np.ndarray

    @property
    def place(self) -> np.ndarray:
        """[N] int64: the rank of each detection within its class, from 0."""
        return np.arange(len(self.row)) - self.class_start[self.label]


class Pairs(NamedTuple):
    """P pairs of a detection (position in the ranking) and an instance, by detection and decreasing tIoU."""

    detection: np.ndarray
    instance: np.ndarray
    tiou: np.ndarray

    def where(self, chosen: np.ndarray) -> "Pairs":
        """Some of the pairs, in the same order; chosen [P] bool."""
        return Pairs(*(column[chosen] for column in self))


class Matches(NamedTuple):
    """N ranked detections and, at T thresholds, the one that finds each of G instances.

    ranking and finder hold indices into ground_truth; thresholds [T] float64 tIoU;
    finder [T, G] int64: position in the ranking; -1 if the instance is missed.
    """

    ranking: Ranking
    ground_truth: GroundTruth
    thresholds: np.ndarray
    finder: np.ndarray

    @property
    def correct(self) -> np.ndarray:
        """[T, N] bool: the detections that find an instance."""
        return finders(self.finder, len(self.ranking.row))

    @property
    def class_size(self) -> np.ndarray:
        """[K] int64: instances of each class."""
        return np.bincount(self.ground_truth.label, minlength=len(self.ground_truth.labels))


def finders(finder: np.ndarray, num_detections: int) -> np.ndarray:
    """[T, N] bool: the detections that finder [T, G] names; -1 names none."""
    named = np.zeros((len(finder), num_detections + 1), bool)
    np.put_along_axis(named, finder, True, axis=1)  # -1 marks the spare last column
    return named[:, :-1]


def find_matches(detections: Detections, ground_truth: GroundTruth, thresholds: Sequence[float]) -> Matches:
    """Ranks and matches once for all thresholds. InputError: as for `rank`."""
    ranking = rank(detections, ground_truth)
    return match_all(ranking, find_pairs(ranking, ground_truth, min(thresholds)), ground_truth, thresholds)


def match_all(ranking: Ranking, pairs: Pairs, ground_truth: GroundTruth, thresholds: Sequence[float]) -> Matches:
    """`match` at every threshold. pairs: all pairs within a class whose tIoU is at least the lowest threshold."""
    finder = np.stack([match(pairs, len(ground_truth.label), threshold) for threshold in thresholds])
    return Matches(ranking, ground_truth, np.array(thresholds, np.float64), finder)


def rank(detections: Detections, ground_truth: GroundTruth) -> Ranking:
    """Detections in the order of evaluation.

    InputError: there are no detections, a video or class is unknown, a number is not finite, a segment ends before it
    starts (zero length is legal), or the ground truth has such a fault.
    """
    check_ground_truth(ground_truth)
    if not len(detections.scores):
        raise InputError("no detections to evaluate; check the file or the run that should have made them")
    video, label = check_names(detections, ground_truth)
    _check_finite("score", detections.scores, detections.video, detections.video_ids)
    _check_segments("detection", detections.segments, detections.video, detections.video_ids)
    name_order = np.empty(len(ground_truth.video_ids), np.int64)
    name_order[np.argsort(np.array(ground_truth.video_ids), kind="stable")] = np.arange(len(name_order))
    start, end = detections.segments.T
    row = np.lexsort((end, start, name_order[video], -detections.scores, label))
    label = label[row]
    class_start = np.searchsorted(label, np.arange(len(ground_truth.labels) + 1))
    return Ranking(row, video[row], label, detections.segments[row], detections.scores[row], class_start)


def find_pairs(ranking: Ranking, ground_truth: GroundTruth, lowest: float, any_label: bool = False) -> Pairs:
    """All pairs of one video (and one class, unless `any_label`) with a tIoU above 0 that is at least `lowest`."""
    num_labels = 1 if any_label else len(ground_truth.labels)
    instance_label = ground_truth.label * (not any_label)
    cell = ground_truth.video * num_labels + instance_label
    start, end = ground_truth.segments.T
    by_cell = np.lexsort((-end, -start, cell))  # the order in which instances of equal tIoU are tried
    num_cells = len(ground_truth.video_ids) * num_labels
    cell_size = np.bincount(cell, minlength=num_cells)
    cell_start = np.cumsum(cell_size) - cell_size
    own_cell = ranking.video * num_labels + ranking.label * (not any_label)
    found = [Pairs(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))]
    for some in _blocks(cell_size[own_cell]):
        size = cell_size[own_cell[some]]
        detection = np.repeat(some, size)
        step = np.arange(detection.size) - np.repeat(np.cumsum(size) - size, size)
        instance = by_cell[np.repeat(cell_start[own_cell[some]], size) + step]
        tiou = tiou_of(*ranking.segments[detection].T, start[instance], end[instance])
        near = (tiou >= lowest) & (tiou > 0)
        detection, instance, tiou = detection[near], instance[near], tiou[near]
        order = np.lexsort((-tiou, detection))
        found.append(Pairs(detection[order], instance[order], tiou[order]))
    return Pairs(*(np.concatenate(column) for column in zip(*found, strict=True)))


def match(pairs: Pairs, num_instances: int, threshold: float) -> np.ndarray:
    """[num_instances] int64: the detection (position in the ranking) that finds each instance; -1 if none does.

    Every detection asks for its best instance. An instance keeps the best-ranked detection that asked, and the others
    ask for their next best. The result is the same as taking the detections one by one, but needs only a few rounds
    over all cells at once.
    """
    enough = pairs.tiou >= threshold
    detection, instance = pairs.detection[enough], pairs.instance[enough]
    begin = np.flatnonzero(first_of_group(detection))
    stop = np.append(begin[1:], detection.size)
    turn, nobody = begin.copy(), begin.size
    holder = np.full(num_instances, nobody)
    asking = np.arange(begin.size)
    while asking.size:
        target = instance[turn[asking]]
        before = holder[target]
        np.minimum.at(holder, target, asking)
        won = holder[target] == asking
        displaced = before[won]
        refused = np.concatenate([asking[~won], displaced[displaced != nobody]])
        turn[refused] += 1
        asking = refused[turn[refused] < stop[refused]]
    return np.append(detection[begin], -1)[holder]


def check_names(
    detections: Detections, ground_truth: GroundTruth, where: object = "detections"
) -> tuple[np.ndarray, np.ndarray]:
    """Video [N] and class [N] of the detections as indices into the ground truth's names.

    where: what the message calls the detections, such as a path.
    InputError: a video or class that has detections is not in the ground truth.
    """
    return (
        _translate(detections.video, detections.video_ids, ground_truth.video_ids, "video", where),
        _translate(detections.label, detections.labels, ground_truth.labels, "class", where),
    )


def check_ground_truth(ground_truth: GroundTruth, where: object = "ground truth") -> None:
    """InputError unless there is an instance, names are unique and segments are finite and not reversed."""
    for what, names in (("video", ground_truth.video_ids), ("class", ground_truth.labels)):
        if len(set(names)) != len(names):
            twice = next(name for i, name in enumerate(names) if name in names[:i])
            raise InputError(f"{where}: {what} {twice!r} occurs twice; expected each {what} once")
    if not len(ground_truth.label):
        raise InputError(f"{where}: no annotated instance in these videos; check the annotations and their subset")
    _check_segments("instance", ground_truth.segments, ground_truth.video, ground_truth.video_ids)


def check_same_ground_truth(first: GroundTruth, second: GroundTruth, names: tuple[str, str]) -> None:
    """InputError: the two do not hold the same instances of the same videos; the message lists videos.

    names: of the two runs, for the message.
    """
    by_video = [instances_by_video(truth) for truth in (first, second)]
    for here, there, name in ((*by_video, names[0]), (*by_video[::-1], names[1])):
        if only := here.keys() - there.keys():
            raise InputError(
                f"{len(only)} videos were evaluated only in {name}: {some_of(only)}; evaluate both on the same videos"
            )
    if differs := [video for video, instances in by_video[0].items() if instances != by_video[1][video]]:
        raise InputError(
            f"{names[0]} and {names[1]} were evaluated against other instances in {len(differs)} videos:"
            f" {some_of(differs)}; evaluate both with the same annotations"
        )


def instances_by_video(truth: GroundTruth) -> dict[str, list]:
    """{video id: its instances (label, start, end), sorted}."""
    instances: dict[str, list] = {video: [] for video in truth.video_ids}
    for video, label, segment in zip(truth.video, truth.label, truth.segments.tolist(), strict=True):
        instances[truth.video_ids[video]].append((truth.labels[label], *segment))
    return {video: sorted(rows) for video, rows in instances.items()}


def _blocks(sizes: np.ndarray) -> Iterator[np.ndarray]:
    """Positions with a size above 0, in runs whose sizes sum to at most PAIRS_AT_ONCE (or of one position)."""
    rows = np.flatnonzero(sizes)
    block = np.cumsum(sizes[rows]) // PAIRS_AT_ONCE
    return iter(np.split(rows, np.flatnonzero(np.diff(block)) + 1) if rows.size else [])


def _translate(index: np.ndarray, names: list[str], known: list[str], what: str, where: object) -> np.ndarray:
    """Indices into `names` -> indices into `known`."""
    position = {name: i for i, name in enumerate(known)}
    table = np.array([position.get(name, -1) for name in names], np.int64)
    translated = table[index]
    if translated.min(initial=0) < 0:
        unknown = {names[i] for i in np.unique(index[translated < 0])}
        raise InputError(
            f"{where}: {len(unknown)} {what} name(s) that the ground truth ({len(known)} of them, such as"
            f" {known[0]!r}) does not have: {some_of(unknown)}; are these predictions of this dataset and subset?"
        )
    return translated


def _check_finite(what: str, values: np.ndarray, video: np.ndarray, video_ids: list[str]) -> None:
    bad = ~np.isfinite(values)
    if bad.any():
        row = np.flatnonzero(bad)[0]
        raise InputError(
            f"{what} {values[row]} in video {video_ids[video[row]]!r} (row {row}): expected a finite number"
        )


def _check_segments(what: str, segments: np.ndarray, video: np.ndarray, video_ids: list[str]) -> None:
    for column, side in enumerate(("start", "end")):
        _check_finite(f"{what} {side}", segments[:, column], video, video_ids)
    wrong = np.flatnonzero(segments[:, 1] < segments[:, 0])
    if wrong.size:
        row = wrong[0]
        raise InputError(
            f"{what} {segments[row].tolist()} in video {video_ids[video[row]]!r} (row {row}) ends before it starts;"
            " expected [start, end] in seconds"
        )
