"""Detections as ActivityNet JSON and as CSV, both read and written.

ActivityNet:  {"version": ..., "results": {video id: [{"label": "Archery", "segment": [1.5, 20.0], "score": 0.8}]},
               "external_data": {}}
CSV:          video,label,start_seconds,end_seconds,score

Numbers are written with all their digits, so scoring a written file gives the same metrics to the last bit. The same
detections give the same bytes. Times are in seconds. A CSV file cannot list a video without detections.
"""

import csv
import io
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from contextloc_jax.core.errors import InputError, excerpt
from contextloc_jax.core.files import read_json, read_text, write_whole
from contextloc_jax.core.groups import rows_of_groups
from contextloc_jax.core.structs import Detections

CSV_COLUMNS = ("video", "label", "start_seconds", "end_seconds", "score")
_CSV_NAMES = {  # the names of the columns in files of other tools
    "video": ("video-id", "video_id", "video_name"),
    "label": ("class", "cls"),
    "start_seconds": ("t-start", "t_start", "start"),
    "end_seconds": ("t-end", "t_end", "end"),
    "score": (),
}


def read_detections(path: str | os.PathLike) -> Detections:
    """Detections of a .json (ActivityNet) or .csv file; videos and classes are numbered in file order.

    InputError, with file and video or line: the file is empty or has another form, a number is missing or not finite,
    or a segment ends before it starts. A segment may have length zero, or lie outside the video.
    """
    return _of_form(path, read_activitynet, read_csv)(path)


def write_detections(path: str | os.PathLike, detections: Detections) -> None:
    """Writes a .json (ActivityNet) or .csv file, whole or not at all. InputError: another suffix, or a write error."""
    _of_form(path, write_activitynet, write_csv)(path, detections)


def write_activitynet(path: str | os.PathLike, detections: Detections, version: str = "contextloc_jax") -> None:
    """Writes ActivityNet's JSON, one line per video, also for videos without detections; by decreasing score."""
    rows = _rows_by_video(detections)
    lines = [
        f"{json.dumps(name)}: {json.dumps([_entry(detections, row) for row in own])}"
        for name, own in zip(detections.video_ids, rows, strict=True)
    ]
    results = ",\n".join(lines)
    text = f'{{"version": {json.dumps(version)}, "results": {{\n{results}\n}}, "external_data": {{}}}}\n'
    write_whole(path, text)


def read_activitynet(path: str | os.PathLike) -> Detections:
    """Detections of an ActivityNet JSON; see `read_detections`."""
    content = read_json(path)
    results = content.get("results") if isinstance(content, dict) else None
    if not isinstance(results, dict):
        raise InputError(f"{path}: no 'results' object; expected {{'results': {{video id: [...]}}}}")
    videos = [_video_columns(f"{path}: video {name!r}", rows) for name, rows in results.items()]
    names = [name for labels, _, _ in videos for name in labels]
    return _detections(
        path,
        list(results),
        np.repeat(np.arange(len(videos)), [len(labels) for labels, _, _ in videos]),
        names,
        np.concatenate([np.zeros((0, 2)), *(segments for _, segments, _ in videos)]),
        np.concatenate([np.zeros(0), *(scores for _, _, scores in videos)]),
    )


def write_csv(path: str | os.PathLike, detections: Detections) -> None:
    """Writes CSV with a header; rows by video and decreasing score."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for name, rows in zip(detections.video_ids, _rows_by_video(detections), strict=True):
        entries = [_entry(detections, row) for row in rows]
        writer.writerows((name, entry["label"], *entry["segment"], entry["score"]) for entry in entries)
    write_whole(path, text.getvalue())


def read_csv(path: str | os.PathLike) -> Detections:
    """Detections of a CSV file with a header, its columns in any order; see `read_detections`."""
    reader = csv.reader(io.StringIO(read_text(path), newline=""))
    place = _csv_places(path, next(reader, []))
    video_ids, names, numbers = [], [], []
    try:
        for row in reader:
            if not row:
                continue
            if len(row) <= max(place.values()):
                raise ValueError(f"{len(row)} columns")
            number = [float(row[place[column]]) for column in CSV_COLUMNS[2:]]
            _check_row(number[:2], number[2])
            video_ids.append(row[place["video"]])
            names.append(row[place["label"]])
            numbers.append(number)
    except (ValueError, csv.Error) as error:
        raise InputError(f"{path}:{reader.line_num}: {error}; expected {','.join(CSV_COLUMNS)}") from None
    index = {name: i for i, name in enumerate(dict.fromkeys(video_ids))}
    numbers = np.array(numbers, np.float64).reshape(-1, 3)
    video = np.array([index[name] for name in video_ids], np.int64)
    return _detections(path, list(index), video, names, numbers[:, :2], numbers[:, 2])


def _of_form(path: str | os.PathLike, json_form: Callable, csv_form: Callable) -> Callable:
    """The reader or writer of the form that the suffix of `path` names."""
    forms = {".json": json_form, ".csv": csv_form}
    suffix = Path(path).suffix.lower()
    if suffix not in forms:
        raise InputError(f"{path}: a file of detections ends in .json (ActivityNet form) or .csv")
    return forms[suffix]


def _rows_by_video(detections: Detections) -> list[np.ndarray]:
    """Row numbers of every video, by decreasing score."""
    best_first = np.argsort(-detections.scores, kind="stable")
    return rows_of_groups(best_first, detections.video, len(detections.video_ids))


def _entry(detections: Detections, row: int) -> dict:
    start, end = detections.segments[row].tolist()
    label = detections.labels[detections.label[row]]
    return {"label": label, "segment": [start, end], "score": float(detections.scores[row])}


def _video_columns(where: str, rows: object) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Labels, segments [N, 2] and scores [N] of one video."""
    if not isinstance(rows, list):
        raise InputError(f"{where}: found {excerpt(rows)}, expected a list of {{'label', 'segment', 'score'}}")
    if not rows:
        return [], np.zeros((0, 2)), np.zeros(0)
    try:
        labels = [_label(row["label"]) for row in rows]
        segments = np.array([row["segment"] for row in rows], np.float64)
        scores = np.array([row["score"] for row in rows], np.float64)
        good = not any(type(value) is bool for row in rows for value in (row["score"], *row["segment"]))
        good = good and segments.shape == (len(rows), 2) and scores.shape == (len(rows),)
        good = good and np.isfinite(segments).all() and np.isfinite(scores).all()
        good = good and np.all(segments[:, 0] <= segments[:, 1])
    except (TypeError, KeyError, ValueError, OverflowError):
        good = False
    if not good:
        raise InputError(f"{where}, {_first_fault(rows)}")
    return labels, segments, scores


def _first_fault(rows: list) -> str:
    """What is wrong with the first bad row. Called only when there is one."""
    for number, row in enumerate(rows):
        try:
            _label(row["label"])
            if not isinstance(row["segment"], list):
                raise ValueError(f"segment {excerpt(row['segment'])} is not two finite numbers")
            _check_row([_number(value) for value in row["segment"]], _number(row["score"]))
        except KeyError as error:
            return f"row {number}: {error} is missing; expected {{'label', 'segment': [start, end], 'score'}}"
        except (TypeError, ValueError, OverflowError) as error:
            return f"row {number}: {error}; expected {{'label', 'segment': [start, end] in seconds, 'score'}}"
    return "rows: segments or scores are not plain numbers"


def _number(value: object) -> float:
    """A number in JSON, also one that is written as a string. ValueError: another value."""
    if isinstance(value, int | float | str) and not isinstance(value, bool):
        return float(value)
    raise ValueError(f"{excerpt(value)} is not a number")


def _label(label: object) -> str:
    """The label of a class. A whole number becomes its digits, as in annotations. ValueError: another value."""
    if isinstance(label, str):
        return label
    if isinstance(label, int) and not isinstance(label, bool):
        return str(label)
    raise ValueError(f"label {excerpt(label)} is not the name of a class")


def _check_row(segment: list[float], score: float) -> None:
    """ValueError unless the segment is two finite numbers in order and the score is finite."""
    if len(segment) != 2 or not np.isfinite(segment).all():
        raise ValueError(f"segment {segment} is not two finite numbers")
    if segment[1] < segment[0]:
        raise ValueError(f"segment {segment} ends before it starts")
    if not np.isfinite(score):
        raise ValueError(f"score {score} is not finite")


def _csv_places(path: str | os.PathLike, header: list[str]) -> dict[str, int]:
    """Column name -> its place in a row."""
    header = [name.strip().lower() for name in header]
    found = {column: [n for n in (column, *others) if n in header] for column, others in _CSV_NAMES.items()}
    if missing := [column for column, names in found.items() if not names]:
        raise InputError(f"{path}:1: no column {missing[0]!r} in the header; expected {','.join(CSV_COLUMNS)}")
    return {column: header.index(names[0]) for column, names in found.items()}


def _detections(path, video_ids, video, names, segments, scores) -> Detections:
    if not names:
        raise InputError(f"{path}: holds no detections; was it written completely?")
    index = {name: i for i, name in enumerate(dict.fromkeys(names))}
    label = np.array([index[name] for name in names], np.int64)
    return Detections(video_ids, list(index), video, label, segments, scores)
