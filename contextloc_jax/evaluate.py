"""Scores -> detections -> metrics -> files and report; the one path that training and the command line share."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from contextloc_jax.batch import Detections, GroundTruth, VideoScores
from contextloc_jax.class_scores import find_class_scores
from contextloc_jax.detection_files import save_scores, write_activitynet, write_csv
from contextloc_jax.detections import detect
from contextloc_jax.diagnosis import diagnose
from contextloc_jax.errors import InputError
from contextloc_jax.json_file import write_whole
from contextloc_jax.metrics import evaluate
from contextloc_jax.report import write_report
from contextloc_jax.scalar_log import read_curves
from contextloc_jax.score_tables import precision_table
from contextloc_jax.significance import intervals


class DetectionSettings(NamedTuple):
    """How scores become detections, and under which protocol they are measured; values as config.detection's."""

    protocol: str
    top_k: int
    nms_tiou: float
    nms: str
    class_scores: str = ""
    class_top_k: int = 0


def find(
    scores: Sequence[VideoScores],
    labels: Sequence[str],
    settings: DetectionSettings,
    ground_truth: GroundTruth | None = None,
) -> Detections:
    """Detections of all videos; ground_truth is looked at by class_scores='oracle' alone."""
    video_ids = [video.video_id for video in scores]
    return detect(
        scores,
        labels,
        top_k=settings.top_k,
        nms_tiou=settings.nms_tiou,
        nms=settings.nms,
        class_scores=find_class_scores(settings.class_scores, video_ids, labels, ground_truth),
        class_top_k=settings.class_top_k or None,
    )


def measure(scores: Sequence[VideoScores], ground_truth: GroundTruth, settings: DetectionSettings) -> dict:
    """Metrics of the detections in `scores` (the content of metrics.json)."""
    return evaluate(find(scores, ground_truth.labels, settings, ground_truth), ground_truth, settings.protocol)


def assess(detections: Detections, ground_truth: GroundTruth, protocol: str, identity: str) -> dict:
    """The content of metrics.json, with the interval of every mAP. identity: content hash of the evaluated data."""
    return evaluate(detections, ground_truth, protocol) | {
        "interval": intervals(detections, ground_truth, protocol),
        "data": {"identity": identity},
    }


def write_results(
    workdir: str | Path,
    scores: Sequence[VideoScores],
    ground_truth: GroundTruth,
    settings: DetectionSettings,
    identity: str,
    title: str,
) -> dict:
    """Leaves scores.npz, detections.json, metrics.json, diagnosis.json and report.html in workdir; prints the table.

    identity: content hash of the evaluated data, stamped into metrics.json. Returns the metrics.
    """
    detections = find(scores, ground_truth.labels, settings, ground_truth)
    metrics = assess(detections, ground_truth, settings.protocol, identity)
    if settings.class_scores:  # a number made with a classifier, or the annotations, is another number: say so
        metrics["class_scores"] = {"source": Path(settings.class_scores).name, "top_k": settings.class_top_k}
    diagnosis = diagnose(detections, ground_truth, settings.protocol)
    workdir = make_workdir(workdir)
    save_scores(workdir / "scores.npz", scores, ground_truth)
    write_activitynet(workdir / "detections.json", detections)
    write_assessed(workdir, detections, ground_truth, metrics, diagnosis, title, read_curves(workdir))
    print(precision_table(metrics))
    print(f"report: {workdir / 'report.html'}")
    return metrics


def write_detections(workdir: str | Path, detections: Detections, title: str) -> None:
    """Leaves detections.json, detections.csv and report.html in workdir: detections that nobody can judge yet."""
    workdir = Path(workdir)
    write_activitynet(workdir / "detections.json", detections)
    write_csv(workdir / "detections.csv", detections)
    write_report(workdir / "report.html", detections, None, None, None, title)
    print(f"report: {workdir / 'report.html'}")


def write_assessed(
    workdir: Path,
    detections: Detections,
    ground_truth: GroundTruth,
    metrics: dict,
    diagnosis: dict,
    title: str,
    curves: dict,
) -> None:
    """Leaves metrics.json, diagnosis.json and report.html in workdir, whoever made the detections."""
    write_json(workdir / "metrics.json", metrics)
    write_json(workdir / "diagnosis.json", diagnosis)
    write_report(workdir / "report.html", detections, ground_truth, metrics, curves, title, diagnosis=diagnosis)


def make_workdir(workdir: str | Path) -> Path:
    """The folder of a run, made where it is absent. InputError: it cannot be made."""
    try:
        Path(workdir).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--workdir={workdir}: cannot be made ({error.strerror}); choose another folder") from None
    return Path(workdir)


def write_json(path: Path, content: dict) -> None:
    """Writes one of the JSON files of a workdir, whole or not at all; the same content gives the same bytes."""
    write_whole(path, (json.dumps(content, indent=2, sort_keys=True) + "\n").encode())
