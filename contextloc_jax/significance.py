"""How sure an mAP is: bootstrap over videos, for one run and for the difference of two.

Videos are drawn with replacement, as many as there are; a video drawn twice counts twice, at the same places of the
ranking. Detections are matched once: matches stay inside a video. Two runs are compared on the same draws, so that what
makes a video easy or hard for both cancels. An interval holds the middle 95 % of the draws after they were centred on
the measured value, because repeated videos raise interpolated precision a little.
The interval is about *which videos* were tested; what another training seed would change is not in it, so compare
several seeds before calling a small difference progress.
"""

import numpy as np

from contextloc_jax.batch import Detections, GroundTruth
from contextloc_jax.errors import InputError
from contextloc_jax.metrics import Matches, average, find_matches, find_protocol

CELLS_AT_ONCE = 2**23  # bounds memory


def intervals(
    detections: Detections,
    ground_truth: GroundTruth,
    protocol: str,
    num_draws: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> dict:
    """Intervals of every mAP: {"mAP": {threshold: [low, high]}, "average_mAP": [low, high], "level", "num_draws",
    "seed"}; the same arguments give the same numbers. InputErrors as of matching.rank."""
    draws = _draws(ground_truth, num_draws, seed, level)
    columns = _columns(resampled_mean_ap(detections, ground_truth, protocol, draws), protocol)
    bounds = {key: np.clip(_interval(_centred(column), level), 0, 1).tolist() for key, column in columns.items()}
    whole = bounds.pop("average_mAP")
    return {"mAP": bounds, "average_mAP": whole, "level": level, "num_draws": num_draws, "seed": seed}


def compare(
    first: Detections,
    second: Detections,
    ground_truth: GroundTruth,
    protocol: str,
    num_draws: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> dict:
    """Second run minus first, on the same videos.

    {"protocol", "mAP": {threshold: entry}, "average_mAP": entry, "conclusion", "level", "num_draws", "seed"}, entry =
    {"first", "second", "difference", "interval": [low, high], "p"}. p: two-sided, twice the share of draws on the
    rarer side of 0, at most 1, at least 2 / (num_draws + 1). conclusion: 'second is better', 'first is better' or 'no
    difference shown', by whether 0 is outside the interval of average_mAP.
    """
    draws = _draws(ground_truth, num_draws, seed, level)
    runs = [_columns(resampled_mean_ap(run, ground_truth, protocol, draws), protocol) for run in (first, second)]
    entries = {key: _compare(runs[0][key], runs[1][key], level) for key in runs[0]}
    whole = entries.pop("average_mAP")
    low, high = whole["interval"]
    conclusion = "second is better" if low > 0 else "first is better" if high < 0 else "no difference shown"
    return {
        "protocol": protocol,
        "mAP": entries,
        "average_mAP": whole,
        "conclusion": conclusion,
        "level": level,
        "num_draws": num_draws,
        "seed": seed,
    }


def resampled_mean_ap(
    detections: Detections, ground_truth: GroundTruth, protocol: str, draws: np.ndarray
) -> np.ndarray:
    """mAP [B, T] at the protocol's thresholds when video v counts draws[b, v] times: draws [B, V] int.

    Means are over the classes with an instance in the drawn videos; NaN where none has. All ones give the metric.
    """
    matches = find_matches(detections, ground_truth, find_protocol(protocol).thresholds)
    total = np.zeros((len(draws), len(matches.thresholds)))
    num_classes = np.zeros((len(draws), 1))
    for label in np.unique(ground_truth.label):
        instances = np.flatnonzero(ground_truth.label == label)
        num_instances = draws[:, ground_truth.video[instances]].sum(axis=1)
        total += _drawn_precision(matches, int(label), matches.finder[:, instances], num_instances, draws)
        num_classes += num_instances[:, None] > 0
    return np.divide(total, num_classes, out=np.full(total.shape, np.nan), where=num_classes > 0)


def format_comparison(comparison: dict, names: tuple[str, str] = ("first", "second")) -> str:
    """The comparison as a table for a terminal, in per cent, and its conclusion in words."""
    level = f"{100 * comparison['level']:g}%"
    lines = [f"{'tIoU':<8}{'first':>8}{'second':>8}{'difference':>12}   {level + ' interval':<20}{'p':>7}"]
    for key, entry in [*comparison["mAP"].items(), ("average", comparison["average_mAP"])]:
        low, high = (100 * bound for bound in entry["interval"])
        lines.append(
            f"{key:<8}{100 * entry['first']:8.2f}{100 * entry['second']:8.2f}{100 * entry['difference']:+12.2f}"
            f"   {f'[{low:+.2f}, {high:+.2f}]':<20}{entry['p']:7.3f}"
        )
    lines.append(f"first: {names[0]}; second: {names[1]}")
    lines.append(f"average mAP: {comparison['conclusion']} ({level} bootstrap over videos; not over training seeds)")
    return "\n".join(lines)


def _drawn_precision(
    matches: Matches, label: int, finder: np.ndarray, num_instances: np.ndarray, draws: np.ndarray
) -> np.ndarray:
    """AP [B, T] of one class in every draw, 0 where the draw has no instance of it; finder [T, G of the class]."""
    first = matches.ranking.class_start[label]
    places = [np.sort(row[row >= 0]) - first for row in finder]
    deepest = max((place[-1] + 1 for place in places if place.size), default=0)
    video = matches.ranking.video[first : first + deepest]
    precision = np.zeros((len(draws), len(places)))
    step = max(1, CELLS_AT_ONCE // max(1, deepest))
    for some in (slice(low, low + step) for low in range(0, len(draws), step)):
        weight = draws[some, video]
        so_far = np.cumsum(weight, axis=1)
        for t, place in enumerate(places):
            if place.size:
                correct = weight[:, place]
                at_place = np.cumsum(correct, axis=1) / np.maximum(so_far[:, place], 1)
                interpolated = np.maximum.accumulate(at_place[:, ::-1], axis=1)[:, ::-1]
                precision[some, t] = (correct * interpolated).sum(axis=1)
    return precision / np.maximum(num_instances, 1)[:, None]


def _draws(ground_truth: GroundTruth, num_draws: int, seed: int, level: float) -> np.ndarray:
    """How often each video counts: [1 + num_draws, V] int64, once each in row 0, which gives the measured value.

    RandomState, because NumPy's policy freezes its stream.
    """
    if num_draws < 1 or not 0 < level < 1:
        raise InputError(f"bootstrap: {num_draws} draws, level {level}; expected at least 1 draw and a level in (0, 1)")
    num_videos = len(ground_truth.video_ids)
    drawn = np.random.RandomState(seed).randint(num_videos, size=(num_draws, num_videos))
    flat = (np.arange(num_draws)[:, None] * num_videos + drawn).ravel()
    counts = np.bincount(flat, minlength=num_draws * num_videos).reshape(num_draws, num_videos)
    return np.concatenate([np.ones((1, num_videos), np.int64), counts])


def _columns(mean_ap: np.ndarray, protocol: str) -> dict[str, np.ndarray]:
    """{threshold, then "average_mAP": [B]} of mAP [B, T]."""
    keys = [f"{threshold:g}" for threshold in find_protocol(protocol).thresholds]
    return dict(zip(keys, mean_ap.T, strict=True)) | {"average_mAP": average(mean_ap, protocol)}


def _centred(column: np.ndarray) -> np.ndarray:
    """The draws (all but the first entry) moved so that their mean is the measured value (the first)."""
    draws = column[1:][~np.isnan(column[1:])]
    return draws - draws.mean() + column[0] if draws.size else column[:1]


def _compare(first: np.ndarray, second: np.ndarray, level: float) -> dict:
    draws = _centred(second - first)
    rarer = min(np.count_nonzero(draws <= 0), np.count_nonzero(draws >= 0))
    return {
        "first": float(first[0]),
        "second": float(second[0]),
        "difference": float(second[0] - first[0]),
        "interval": _interval(draws, level).tolist(),
        "p": min(1.0, 2 * (1 + rarer) / (1 + len(draws))),
    }


def _interval(draws: np.ndarray, level: float) -> np.ndarray:
    return np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
