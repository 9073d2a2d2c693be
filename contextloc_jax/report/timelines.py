"""Detections beside the instances of their video, with the judge's verdicts: the rows that the page draws."""

import numpy as np

from contextloc_jax.core.groups import places, rows_of_groups
from contextloc_jax.core.structs import Detections
from contextloc_jax.evaluation.average_precision import class_precision
from contextloc_jax.evaluation.judging import CORRECT, Judged


def video_rows(detections: Detections, judged: Judged | None, names: list[str], cap: int) -> list[dict]:
    """The videos `names` as plain numbers, for the page to draw: in seconds, with at most `cap` detections each.

    judged: the judge's result for these detections, in the same order (Judged.detections); None: there is no ground
    truth. A video is {name, duration, ap, truth, detections}:
    detections: rows [start, end, score, label] by decreasing score (equal scores: by start, end and class). With
      `judged`, rows have three more columns: verdict, its code at the first diagnosed threshold; tiou and instance, of
      the row of `truth` that the detection finds, else of its best one (-1: none overlaps).
    truth: rows [start, end, label]. label: class index into the labels of the detections.
    ap: AP at that threshold of all detections of the video as one class; None without an instance.
    duration: None if it is unknown. Without `judged`, duration, ap and truth are None.
    """
    by_video = rows_of_groups(_best_first(detections), detections.video, len(detections.video_ids))
    index = {name: v for v, name in enumerate(detections.video_ids)}
    verdicts, annotated = (_verdict_columns(judged), _annotations(judged)) if judged else ([], {})
    videos = []
    for name in names:
        rows = by_video[index[name]][:cap]
        columns = [
            *np.round(detections.segments[rows].T, 2),
            [float(f"{score:.4g}") for score in detections.scores[rows]],
            detections.label[rows],
            *(column[rows] for column in verdicts),
        ]
        video = {"name": name, "duration": None, "ap": None, "truth": None} | annotated.get(name, {})
        videos.append(video | {"detections": _plain_rows(columns)})
    return videos


def _verdict_columns(judged: Judged) -> list[np.ndarray]:
    """Verdict, tIoU and instance of every detection, [N] each; instances are counted within their video."""
    instance, tiou = judged.instance_of_each(0)
    in_video = np.append(places(judged.matches.ground_truth.video), -1)  # -1, for no instance, stays -1
    return [judged.verdict[0], np.round(tiou, 3), in_video[instance]]


def _annotations(judged: Judged) -> dict[str, dict]:
    """{video id: its duration, AP and instances}."""
    truth, detections = judged.matches.ground_truth, judged.detections
    order, num_videos = _best_first(detections), len(truth.video_ids)
    correct = judged.verdict[0] == CORRECT
    sizes = np.bincount(truth.video, minlength=num_videos)
    precision = class_precision(detections.video[order], correct[order], sizes)  # every video as one class
    instances = rows_of_groups(np.arange(len(truth.video)), truth.video, num_videos)
    return {
        name: {
            "duration": round(float(duration), 2) if np.isfinite(duration) else None,
            "ap": None if np.isnan(ap) else round(float(ap), 4),
            "truth": _plain_rows([*np.round(truth.segments[rows].T, 2), truth.label[rows]]),
        }
        for name, duration, ap, rows in zip(truth.video_ids, truth.duration_seconds, precision, instances, strict=True)
    }


def _best_first(detections: Detections) -> np.ndarray:
    """Row numbers by decreasing score, with all classes in one ranking."""
    start, end = detections.segments.T
    return np.lexsort((detections.label, end, start, -detections.scores))


def _plain_rows(columns) -> list[list]:
    """Columns -> rows of numbers in their shortest JSON form: whole numbers become integers."""
    whole = [[int(v) if v == int(v) else float(v) for v in column] for column in columns]
    return [list(row) for row in zip(*whole, strict=True)]
