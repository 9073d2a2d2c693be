"""Detections beside the instances of their video: matches, verdicts and the rows that the report draws."""

from typing import NamedTuple

import numpy as np

from contextloc_jax.core.structs import Detections, GroundTruth

CORRECT_TIOU, OVERLAP_TIOU = 0.5, 0.1
VERDICTS = {  # the error types of DETAD (Alwassel et al., ECCV 2018), in the order of their codes
    "correct": "tIoU 0.5 or more with an instance of its class that no better-scored detection has taken",
    "double detection": "tIoU 0.5 or more with an instance of its class, but a better-scored detection has taken it",
    "wrong label": "tIoU 0.5 or more with an instance of another class only",
    "localization": "its best instance is of its class, but their tIoU is only 0.1 to 0.5",
    "confusion": "its best instance is of another class, and their tIoU is 0.1 to 0.5",
    "background": "tIoU below 0.1 with every instance",
}
CORRECT, DOUBLE, WRONG_LABEL, LOCALIZATION, CONFUSION, BACKGROUND = range(6)


class Judged(NamedTuple):
    """N detections of one video, compared with its instances.

    verdict  [N] int      code into VERDICTS
    tiou     [N] float64  with the instance below
    instance [N] int      the instance matched, else the one with the best tIoU; -1 where none overlaps
    """

    verdict: np.ndarray
    tiou: np.ndarray
    instance: np.ndarray


def judge(segments, labels, scores, truth_segments, truth_labels) -> Judged:
    """Compare N detections with the G instances of their video at tIoU 0.5 (golden rule of AP matching).

    segments [N, 2] and truth_segments [G, 2] in seconds; labels [N], truth_labels [G] int; scores [N]. In decreasing
    score each detection takes, of the free instances of its class, the one with the best tIoU if that is >= 0.5.
    """
    if not len(truth_segments):
        return Judged(np.full(len(scores), BACKGROUND), np.zeros(len(scores)), np.full(len(scores), -1))
    pair_tiou = _pair_tiou(segments, truth_segments)
    same = labels[:, None] == truth_labels[None, :]
    # The instance to name: one of its class if that is met, else the best overlap; a tie goes to its own class.
    instance = np.argmax(pair_tiou + 2 * (same & (pair_tiou >= CORRECT_TIOU)) + 1e-9 * same, axis=1)
    own = np.arange(len(scores))
    best, right = pair_tiou[own, instance], same[own, instance]
    met, near = best >= CORRECT_TIOU, best >= OVERLAP_TIOU
    verdict = np.select(
        [met & right, met, near & right, near], [DOUBLE, WRONG_LABEL, LOCALIZATION, CONFUSION], BACKGROUND
    )
    taken = np.zeros(len(truth_segments), bool)
    for row in np.argsort(-scores, kind="stable"):
        if verdict[row] == DOUBLE:
            free = np.where(same[row] & ~taken, pair_tiou[row], -1)
            if free.max() >= CORRECT_TIOU:
                instance[row] = np.argmax(free)
                taken[instance[row]] = True
                verdict[row] = CORRECT
    tiou = pair_tiou[own, instance]
    return Judged(verdict, tiou, np.where(tiou > 0, instance, -1))


def _pair_tiou(segments, others) -> np.ndarray:
    """tIoU [N, G] of segments in seconds; 0 where both have no length."""
    start, end = segments[:, :1], segments[:, 1:]
    inter = np.clip(np.minimum(end, others[:, 1]) - np.maximum(start, others[:, 0]), 0, None)
    union = (end - start) + (others[:, 1] - others[:, 0]) - inter
    return np.divide(inter, union, out=np.zeros_like(inter), where=union > 0)


def ranked_average_precision(correct, num_instances: int) -> float | None:
    """Interpolated AP of one ranked list, `correct` [N] bool in decreasing score; None without an instance."""
    if not num_instances:
        return None
    precision = np.cumsum(correct) / np.arange(1, len(correct) + 1)
    best_from_here = np.maximum.accumulate(precision[::-1])[::-1]
    return float(best_from_here[correct].sum() / num_instances)


def video_rows(
    names: list[str], labels: list[str], detections: Detections, ground_truth: GroundTruth | None, cap: int
) -> list[dict]:
    """The videos `names` as plain numbers: what the page draws, in seconds, at most `cap` detections each.

    A video is {name, duration, ap, truth, detections}. detections: rows [start, end, score, label] in decreasing
    score, and of annotated videos also [..., verdict, tiou, instance]; truth: rows [start, end, label], None where the
    video is not annotated; label: index into `labels`; ap: AP at tIoU 0.5 of all its detections in one ranking.
    """
    code = {label: i for i, label in enumerate(labels)}
    detection_code = np.array([code[label] for label in detections.labels], int)
    detected = _rows_by_video(detections)
    annotated = _annotations(ground_truth, code) if ground_truth else {}
    videos = []
    for name in names:
        rows = detected.get(name, np.zeros(0, int))
        rows = rows[np.argsort(-detections.scores[rows], kind="stable")]
        segments, scores = detections.segments[rows].reshape(-1, 2), detections.scores[rows]
        columns = [
            *np.round(segments.T, 2),
            [float(f"{s:.4g}") for s in scores],
            detection_code[detections.label[rows]],
        ]
        video = {"name": name, "duration": None, "ap": None, "truth": None}
        if name in annotated:
            duration, truth, truth_labels = annotated[name]
            judged = judge(segments, columns[3], scores, truth, truth_labels)
            columns += [judged.verdict, np.round(judged.tiou, 3), judged.instance]
            average_precision = ranked_average_precision(judged.verdict == CORRECT, len(truth))
            video["duration"] = round(duration, 2) if np.isfinite(duration) else None
            video["ap"] = None if average_precision is None else round(average_precision, 4)
            video["truth"] = _plain_rows([*np.round(truth.T, 2), truth_labels])
        video["detections"] = _plain_rows([column[:cap] for column in columns])
        videos.append(video)
    return videos


def _annotations(ground_truth, code) -> dict[str, tuple]:
    """{video id: (duration_seconds, segments [G, 2], labels [G] as `code` has them)}."""
    truth_code = np.array([code[label] for label in ground_truth.labels], int)
    return {
        name: (float(duration), ground_truth.segments[rows].reshape(-1, 2), truth_code[ground_truth.label[rows]])
        for (name, rows), duration in zip(
            _rows_by_video(ground_truth).items(), ground_truth.duration_seconds, strict=True
        )
    }


def _rows_by_video(columns: Detections | GroundTruth) -> dict[str, np.ndarray]:
    """{video id: its row numbers}, also for videos without a row."""
    video = np.asarray(columns.video, int)
    order = np.argsort(video, kind="stable")
    ends = np.cumsum(np.bincount(video, minlength=len(columns.video_ids)))
    return dict(zip(columns.video_ids, np.split(order, ends)[:-1], strict=True))


def _plain_rows(columns) -> list[list]:
    """Columns -> rows of numbers as JSON writes them shortest: whole ones as integers."""
    whole = [[int(v) if v == int(v) else float(v) for v in column] for column in columns]
    return [list(row) for row in zip(*whole, strict=True)]
