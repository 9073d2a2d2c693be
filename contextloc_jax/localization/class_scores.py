"""Video-level class scores: which classes a video shows at all, from a classifier or from the annotations.

`decode.detect` multiplies the scores of a video's proposals by them. Forms of a file:
.json  {video id: {label: score}}, or ActivityNet's classification results
       {"results": {video id: [{"label": ..., "score": ...}]}}; a label that is not listed for a video has score 0. Or
       {"class": [labels], "results": {video id: [a score for each label]}}. Ids may lack ActivityNet's prefix "v_".
.npy   [rows, K], columns in the order of the classes; for THUMOS14's classes also the 101 columns of UCF101 in their
       usual order. Row n - 1 belongs to the video whose id ends in the number n (video_test_0000004: row 3). If an id
       does not end in a number, there must be one row for each video, in the sorted order of the ids.
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from contextloc_jax.core.errors import InputError, excerpt, some_of
from contextloc_jax.core.files import read_json
from contextloc_jax.core.protocols import ORACLE
from contextloc_jax.core.structs import GroundTruth

SUFFIXES = (".json", ".npy")
UCF101_CLASSES = 101
UCF101_COLUMNS = {  # the column of each class of THUMOS14, from 0
    "BaseballPitch": 6,
    "BasketballDunk": 8,
    "Billiards": 11,
    "CleanAndJerk": 20,
    "CliffDiving": 21,
    "CricketBowling": 22,
    "CricketShot": 23,
    "Diving": 25,
    "FrisbeeCatch": 30,
    "GolfSwing": 32,
    "HammerThrow": 35,
    "HighJump": 39,
    "JavelinThrow": 44,
    "LongJump": 50,
    "PoleVault": 67,
    "Shotput": 78,
    "SoccerPenalty": 84,
    "TennisSwing": 91,
    "ThrowDiscus": 92,
    "VolleyballSpiking": 96,
}


def find_class_scores(
    source: str, video_ids: Sequence[str], labels: Sequence[str], ground_truth: GroundTruth | None = None
) -> dict[str, np.ndarray] | None:
    """{video id: scores [K] float64} for a value of detection.class_scores; None if there are no class scores.

    source: '' for none, 'oracle' for the annotated classes, else a file.
    InputError: as for `read_class_scores`; also 'oracle' if a video is not in the ground truth.
    """
    if not source:
        return None
    if source != ORACLE:
        return read_class_scores(source, video_ids, labels)
    if ground_truth is None:
        check_not_oracle(source)
    scores = oracle_class_scores(ground_truth)
    if missing := set(video_ids) - scores.keys():
        raise InputError(
            f"detection.class_scores is {ORACLE!r}, but {len(missing)} videos are not annotated: {some_of(missing)};"
            " expected annotated videos, or a file of class scores"
        )
    return scores


def check_class_scores_file(source: str) -> None:
    """InputError: detection.class_scores names a file that cannot be read. This is checked before hours of work."""
    if source in ("", ORACLE):
        return
    if Path(source).suffix.lower() not in SUFFIXES:
        raise InputError(
            f"{source}: not a file of video-level class scores; expected {ORACLE!r} or a file, .json or .npy (never a "
            "pickle)"
        )
    if not Path(source).is_file():
        raise InputError(f"{source}: there is no such file; expected video-level class scores; check the path")


def check_not_oracle(source: str) -> None:
    """InputError: detection.class_scores needs annotations, but there are none."""
    if source == ORACLE:
        raise InputError(
            f"detection.class_scores is {ORACLE!r}, but these videos have no annotations; give a file of class scores"
        )


def read_class_scores(
    path: str | os.PathLike, video_ids: Sequence[str], labels: Sequence[str]
) -> dict[str, np.ndarray]:
    """{video id: scores [K] float64 >= 0} in the order of `labels`, for each of `video_ids`.

    InputError: the file has another form, lacks a video, has a score that is negative or not finite, or has other
    classes than `labels`.
    """
    check_class_scores_file(str(path))
    read = _read_json if Path(path).suffix.lower() == ".json" else _read_array
    scores = read(path, list(video_ids), list(labels))
    for video_id, values in scores.items():
        if not np.isfinite(values).all() or values.min(initial=0) < 0:
            raise InputError(f"{path}: video {video_id!r}: class scores {values}; expected finite numbers >= 0")
    return scores


def oracle_class_scores(ground_truth: GroundTruth) -> dict[str, np.ndarray]:
    """The scores of a perfect classifier: 1 for the annotated classes of a video, 0 for all others (`detect` drops
    them)."""
    present = np.zeros((len(ground_truth.video_ids), len(ground_truth.labels)))
    present[ground_truth.video, ground_truth.label] = 1
    return dict(zip(ground_truth.video_ids, present, strict=True))


def _read_json(path, video_ids: list[str], labels: list[str]) -> dict[str, np.ndarray]:
    content = read_json(path)
    classes = content.get("class") if isinstance(content, dict) and "results" in content else None
    content = content.get("results", content) if isinstance(content, dict) else None
    if not isinstance(content, dict) or not isinstance(classes, list | None):
        raise InputError(f"{path}: expected {{video id: {{label: score}}}}")
    rows = {video_id: content.get(video_id, content.get(video_id.removeprefix("v_"))) for video_id in video_ids}
    by_video = {video_id: _by_label(path, video_id, row, classes) for video_id, row in rows.items()}
    used = set().union(*by_video.values())
    missing, unknown = sorted(set(labels) - used), sorted(used - set(labels))
    if unknown and missing:
        raise InputError(
            f"{path}: class {unknown[0]!r} is unknown and {missing[0]!r} is not scored; expected the"
            f" {len(labels)} classes of the dataset"
        )
    return {
        video_id: np.array([scores.get(label, 0.0) for label in labels], np.float64)
        for video_id, scores in by_video.items()
    }


def _by_label(path, video_id: str, scores: object, classes: list | None) -> dict[str, float]:
    where = f"{path}: video {video_id!r}"
    if scores is None:
        raise InputError(f"{where} has no class scores; expected scores of every evaluated video")
    try:
        if isinstance(scores, dict):
            pairs = scores.items()
        elif classes:
            pairs = zip(classes, scores, strict=True)
        else:
            pairs = [(row["label"], row["score"]) for row in scores]
        return {str(label): float(score) for label, score in pairs}
    except (TypeError, KeyError, ValueError, OverflowError):
        raise InputError(f"{where}: found {excerpt(scores)}, expected {{label: score}}") from None


def _read_array(path, video_ids: list[str], labels: list[str]) -> dict[str, np.ndarray]:
    try:
        with open(path, "rb") as file:
            array = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{path}: cannot be read as .npy ({error})") from None
    if array.ndim != 2 or array.dtype.kind not in "fiu":
        raise InputError(f"{path}: found {array.dtype} {array.shape}, expected numbers [rows, classes]")
    columns = np.arange(len(labels))
    if array.shape[1] == UCF101_CLASSES != len(labels) and set(labels) <= set(UCF101_COLUMNS):
        columns = np.array([UCF101_COLUMNS[label] for label in labels])
    elif array.shape[1] != len(labels):
        raise InputError(f"{path}: {array.shape[1]} columns, expected one for each of the {len(labels)} classes")
    rows = _rows(path, video_ids, len(array))
    if max(rows) >= len(array):
        late = max(video_ids, key=lambda name: rows[video_ids.index(name)])
        raise InputError(f"{path}: {len(array)} rows, but video {late!r} needs row {max(rows)} (counted from 0)")
    return {name: array[row, columns].astype(np.float64) for name, row in zip(video_ids, rows, strict=True)}


def _rows(path, video_ids: list[str], num_rows: int) -> list[int]:
    numbers = [re.search(r"(\d+)$", name) for name in video_ids]
    if all(found and int(found[1]) > 0 for found in numbers):
        return [int(found[1]) - 1 for found in numbers]
    if num_rows != len(video_ids):
        raise InputError(
            f"{path}: {num_rows} rows for {len(video_ids)} videos whose ids do not all end in a number; expected one "
            "row for each video"
        )
    place = {name: row for row, name in enumerate(sorted(video_ids))}
    return [place[name] for name in video_ids]
