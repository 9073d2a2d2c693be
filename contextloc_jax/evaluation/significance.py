"""How sure an mAP is: an interval for one run and for the difference of two, and a test whether they differ.

Intervals: bootstrap over videos. Videos are drawn with replacement, as many as there are; a video drawn twice counts
twice, at the same places of the ranking. Detections are matched once: matches stay inside a video. The middle 95 % of
the draws, centered on the measured value (repeated videos raise interpolated precision a little), would be too narrow
for few videos. So they are widened as Student's interval is (Hesterberg 2015, "What Teachers Should Know About the
Bootstrap": expanded percentile interval). In measurements, they contained the mAP of an unlimited number of videos in
89 % (2 videos) to 94 % (60 videos) of the cases: interpolated AP of few videos is a little high on average.

Test: if two runs are equally good, it does not matter which of them made the detections of a video. So the runs swap
their detections in a random half of the videos, many times; p is the share of swaps whose difference of mAP is as large
as the measured one. Swapped detections are put into one ranking by their rank within their run and class, not by their
scores. This does not change AP, and it works for scores on any scale.

Both are about *which videos* were tested. They do not contain the effect of another training seed: compare several
seeds before you call a small difference progress.
"""

import functools
from statistics import NormalDist

import numpy as np

from contextloc_jax.core.errors import InputError
from contextloc_jax.core.protocols import Protocol
from contextloc_jax.core.structs import GroundTruth
from contextloc_jax.evaluation.average_precision import average
from contextloc_jax.evaluation.matching import Matches, Ranking

CELLS_AT_ONCE = 2**20  # limits memory, and blocks of this size stay in the cache
ROUNDING = 1e-9  # differences of mAP closer than this are equal


def intervals(matches: Matches, protocol: Protocol, num_draws: int = 1000, seed: int = 0, level: float = 0.95) -> dict:
    """Intervals of every mAP: {"mAP": {threshold: [low, high]}, "average_mAP": [low, high], "level", "num_draws",
    "seed"}; the same arguments give the same numbers. matches: at the protocol's thresholds."""
    draws = _draws(matches.ground_truth, num_draws, seed, level)
    columns = _columns(resampled_mean_ap(matches, draws), protocol)
    bounds = {key: _interval(column, level, draws.shape[1], (0, 1)) for key, column in columns.items()}
    whole = bounds.pop("average_mAP")
    return {"mAP": bounds, "average_mAP": whole, "level": level, "num_draws": num_draws, "seed": seed}


def compare(
    first: Matches,
    second: Matches,
    protocol: Protocol,
    num_draws: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> dict:
    """Second run minus first; their matches are with one ground truth and at the protocol's thresholds.

    {"protocol": its name, "mAP": {threshold: entry}, "average_mAP": entry, "conclusion", "level", "num_draws", "seed"},
    entry = {"first", "second", "difference", "interval": [low, high], "p"}. p is two-sided and at least
    1 / (num_draws + 1). conclusion, about average_mAP: 'second is better' or 'first is better' if p is at most
    1 - level and 0 is outside the interval; 'too few videos to tell' if no swaps could make p that small; else
    'no difference shown'.
    """
    draws = _draws(first.ground_truth, num_draws, seed, level)
    runs = [_columns(resampled_mean_ap(run, draws), protocol) for run in (first, second)]
    swapped = _columns(swapped_differences(first, second, num_draws, seed), protocol)
    entries = {
        key: {
            "first": float(runs[0][key][0]),
            "second": float(runs[1][key][0]),
            "difference": float(runs[1][key][0] - runs[0][key][0]),
            "interval": _interval(runs[1][key] - runs[0][key], level, draws.shape[1], (-1, 1)),
            "p": _share_as_large(swapped[key]),
        }
        for key in swapped
    }
    whole = entries.pop("average_mAP")
    return {
        "protocol": protocol.name,
        "mAP": entries,
        "average_mAP": whole,
        "conclusion": _conclusion(whole, level, draws.shape[1]),
        "level": level,
        "num_draws": num_draws,
        "seed": seed,
    }


def resampled_mean_ap(matches: Matches, draws: np.ndarray) -> np.ndarray:
    """mAP [B, T] at the matches' thresholds when video v counts draws[b, v] times: draws [B, V] int.

    Means are over the classes with an instance in the drawn videos; NaN if there is none. Draws of all ones give the
    metric.
    """
    truth = matches.ground_truth
    counts = np.ascontiguousarray(draws.T, np.int32)  # [V, B]: what follows runs along draws
    total = np.zeros((len(matches.thresholds), len(draws)))
    num_classes = np.zeros(len(draws))
    for label in np.unique(truth.label):
        instances = np.flatnonzero(truth.label == label)
        num_instances = counts[truth.video[instances]].sum(axis=0)
        precision = _drawn_precision(matches, int(label), matches.finder[:, instances], counts)
        total += precision / np.maximum(num_instances, 1)
        num_classes += num_instances > 0
    return np.divide(total, num_classes, out=np.full(total.shape, np.nan), where=num_classes > 0).T


def swapped_differences(first: Matches, second: Matches, num_draws: int, seed: int) -> np.ndarray:
    """Second minus first, mAP [1 + num_draws, T], after the runs swapped random videos; row 0 is without a swap.

    Each run has its own copy of every video. A swap counts the copies of one run in some videos, and those of the other
    run in the rest.
    """
    num_videos = len(first.ground_truth.video_ids)
    kept = np.random.RandomState(seed).randint(2, size=(1 + num_draws, num_videos))
    kept[0] = 1
    mine, theirs = np.concatenate([kept, 1 - kept], axis=1), np.concatenate([1 - kept, kept], axis=1)
    mean_ap = resampled_mean_ap(_side_by_side(first, second), np.concatenate([mine, theirs]))
    return mean_ap[len(kept) :] - mean_ap[: len(kept)]


def _side_by_side(first: Matches, second: Matches) -> Matches:
    """Both runs as one, with a copy of every video (and its instances) for each: 0 .. V - 1 and V .. 2 V - 1.

    There is one ranking, by class and by rank within the run and class. Equal ranks are in the order of the videos, so
    neither run comes first. Matches stay inside a video, and a run keeps its order within a class. So the matches of
    both runs stay as they are.
    """
    truth, num_videos = first.ground_truth, len(first.ground_truth.video_ids)
    rankings = (first.ranking, second.ranking)
    row, video, label, segments = (np.concatenate(columns) for columns in list(zip(*rankings, strict=True))[:4])
    place = np.concatenate([ranking.place for ranking in rankings])
    run = np.repeat([0, 1], [len(r.row) for r in rankings])
    order = np.lexsort((run, video, place, label))
    class_start = first.ranking.class_start + second.ranking.class_start
    copy = video + num_videos * run
    ranking = Ranking(row[order], copy[order], label[order], segments[order], -place[order].astype(float), class_start)
    position = np.full(len(order) + 1, -1)  # the last one, at -1, is for missed instances
    position[order] = np.arange(len(order))
    seconds = np.where(second.finder < 0, -1, second.finder + len(first.ranking.row))
    both = truth._replace(
        video_ids=[f"{run}: {name}" for run in ("first", "second") for name in truth.video_ids],
        duration_seconds=np.tile(truth.duration_seconds, 2),
        video=np.concatenate([truth.video, truth.video + num_videos]),
        label=np.tile(truth.label, 2),
        segments=np.tile(truth.segments, (2, 1)),
    )
    return Matches(ranking, both, first.thresholds, position[np.concatenate([first.finder, seconds], axis=1)])


def _drawn_precision(matches: Matches, label: int, finder: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Sum [T, B] of the interpolated precisions of one class in every draw; finder [T, G of the class]."""
    first = matches.ranking.class_start[label]
    places = [np.sort(row[row >= 0]) - first for row in finder]
    deepest = max((place[-1] + 1 for place in places if place.size), default=0)
    video = matches.ranking.video[first : first + deepest]
    precision = np.zeros((len(places), counts.shape[1]))
    step = max(1, CELLS_AT_ONCE // max(1, deepest))
    for some in (slice(low, low + step) for low in range(0, counts.shape[1], step)):
        weight = counts[:, some][video]
        so_far = np.cumsum(weight, axis=0, dtype=np.int32)
        for t, place in enumerate(places):
            if place.size:
                correct = weight[place]
                at_place = np.cumsum(correct, axis=0) / np.maximum(so_far[place], 1)
                interpolated = np.maximum.accumulate(at_place[::-1], axis=0)[::-1]
                precision[t, some] = (correct * interpolated).sum(axis=0)
    return precision


def _draws(ground_truth: GroundTruth, num_draws: int, seed: int, level: float) -> np.ndarray:
    """How often each video counts: [1 + num_draws, V] int64. Row 0 is all ones and gives the measured value.

    RandomState is used because NumPy promises never to change its stream.
    """
    if num_draws < 1 or not 0 < level < 1:
        raise InputError(f"bootstrap: {num_draws} draws, level {level}; expected at least 1 draw and a level in (0, 1)")
    num_videos = len(ground_truth.video_ids)
    drawn = np.random.RandomState(seed).randint(num_videos, size=(num_draws, num_videos))
    flat = (np.arange(num_draws)[:, None] * num_videos + drawn).ravel()
    counts = np.bincount(flat, minlength=num_draws * num_videos).reshape(num_draws, num_videos)
    return np.concatenate([np.ones((1, num_videos), np.int64), counts])


def _columns(mean_ap: np.ndarray, protocol: Protocol) -> dict[str, np.ndarray]:
    """{threshold, then "average_mAP": [B]} of mAP [B, T]."""
    return dict(zip(protocol.keys, mean_ap.T, strict=True)) | {"average_mAP": average(mean_ap, protocol)}


def _interval(column: np.ndarray, level: float, num_videos: int, bounds: tuple[float, float]) -> list[float]:
    """Expanded percentile interval of the draws column[1:] about the measured column[0], inside `bounds`.

    With one video, it is all of `bounds`, because one video says nothing about others.
    """
    draws = column[1:][~np.isnan(column[1:])]
    if num_videos < 2 or not draws.size:
        return [float(bound) for bound in bounds]
    widening = student_quantile((1 + level) / 2, num_videos - 1) / NormalDist().inv_cdf((1 + level) / 2)
    widening *= np.sqrt(num_videos / (num_videos - 1))  # videos drawn with replacement vary less than new ones
    around = np.quantile(draws - draws.mean(), [(1 - level) / 2, (1 + level) / 2])
    return np.clip(column[0] + widening * around, *bounds).tolist()


@functools.cache
def student_quantile(share: float, degrees: int) -> float:
    """The value below which `share` of Student's distribution lies. With t = sqrt(degrees) tan(angle), the density of
    the angle is a power of its cosine."""
    angle = np.linspace(-np.pi / 2, np.pi / 2, 200_001)
    density = np.cos(angle) ** (degrees - 1)
    below = np.cumsum((density[1:] + density[:-1]) / 2)
    return float(np.sqrt(degrees) * np.tan(np.interp(share, below / below[-1], angle[1:])))


def _share_as_large(differences: np.ndarray) -> float:
    """p: the share of rows, row 0 without a swap included, whose difference is at least as large as that of row 0."""
    return float(np.mean(np.abs(differences) >= np.abs(differences[0]) - ROUNDING))


def _conclusion(entry: dict, level: float, num_videos: int) -> str:
    if 2 * 0.5**num_videos > 1 - level:  # all videos swapped, or none, is as large as the measured difference
        return "too few videos to tell"
    low, high = entry["interval"]
    if entry["p"] > 1 - level or low <= 0 <= high:
        return "no difference shown"
    return "second is better" if low > 0 else "first is better"
