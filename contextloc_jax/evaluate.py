"""Scores -> detections -> metrics -> files and report; the one path that training and the command line share."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from contextloc_jax.batch import Detections, GroundTruth, VideoScores
from contextloc_jax.detection_files import save_scores, write_activitynet
from contextloc_jax.detections import detect
from contextloc_jax.json_file import write_whole
from contextloc_jax.metrics import evaluate, format_table
from contextloc_jax.report import write_report
from contextloc_jax.scalar_log import read_curves


class DetectionSettings(NamedTuple):
    """How scores become detections, and under which protocol they are measured."""

    protocol: str
    top_k: int
    nms_tiou: float
    nms: str


def find(scores: Sequence[VideoScores], labels: Sequence[str], settings: DetectionSettings) -> Detections:
    """Detections of all videos."""
    return detect(scores, labels, top_k=settings.top_k, nms_tiou=settings.nms_tiou, nms=settings.nms)


def measure(scores: Sequence[VideoScores], ground_truth: GroundTruth, settings: DetectionSettings) -> dict:
    """Metrics of the detections in `scores` (the content of metrics.json)."""
    return evaluate(find(scores, ground_truth.labels, settings), ground_truth, settings.protocol)


def write_results(
    workdir: str | Path,
    scores: Sequence[VideoScores],
    ground_truth: GroundTruth,
    settings: DetectionSettings,
    identity: str,
    title: str,
) -> dict:
    """Leaves scores.npz, detections.json, metrics.json and report.html in workdir; prints the table.

    identity: content hash of the evaluated data, stamped into metrics.json. Returns the metrics.
    """
    workdir = Path(workdir)
    detections = find(scores, ground_truth.labels, settings)
    metrics = evaluate(detections, ground_truth, settings.protocol) | {"data": {"identity": identity}}
    save_scores(workdir / "scores.npz", scores, ground_truth)
    write_activitynet(workdir / "detections.json", detections)
    text = json.dumps(metrics, indent=2, sort_keys=True) + "\n"
    write_whole(workdir / "metrics.json", text.encode())
    write_report(workdir / "report.html", detections, ground_truth, metrics, read_curves(workdir), title)
    print(format_table(metrics))
    print(f"report: {workdir / 'report.html'}")
    return metrics
