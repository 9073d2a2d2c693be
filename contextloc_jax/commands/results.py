"""Scores -> detections -> metrics -> files and report: the only path, which all modes share."""

from collections.abc import Sequence
from pathlib import Path

from contextloc_jax.commands.evaluated_runs import DETECTIONS, METRICS, SCORES
from contextloc_jax.core.files import make_folder, write_json
from contextloc_jax.core.structs import Detections, GroundTruth, VideoScores
from contextloc_jax.evaluation.average_precision import evaluate, summarize
from contextloc_jax.evaluation.diagnosis import diagnose
from contextloc_jax.evaluation.judging import Judged, judge
from contextloc_jax.evaluation.significance import intervals
from contextloc_jax.interchange.detection_files import write_activitynet, write_csv
from contextloc_jax.interchange.score_files import save_scores
from contextloc_jax.localization.decode import DetectionSettings, detect
from contextloc_jax.report.page import write_report, write_unjudged_report
from contextloc_jax.report.tables import precision_table
from contextloc_jax.workdir.scalar_log import read_curves


def measure(scores: Sequence[VideoScores], ground_truth: GroundTruth, settings: DetectionSettings) -> dict:
    """The dict of `evaluate` for the detections made from `scores`. Validation during training needs no more."""
    return evaluate(detect(scores, ground_truth.labels, settings, ground_truth), ground_truth, settings.protocol)


def assess(judged: Judged, identity: str) -> dict:
    """The content of metrics.json, with the interval of every mAP. identity: digest of the evaluated data."""
    return summarize(judged.matches, judged.protocol) | {
        "interval": intervals(judged.matches, judged.protocol),
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
    """Writes scores.npz, detections.json, metrics.json, diagnosis.json and report.html to workdir; prints the table.

    identity: digest of the evaluated data, for metrics.json. title: of the report. Returns the metrics.
    """
    detections = detect(scores, ground_truth.labels, settings, ground_truth)
    judged = judge(detections, ground_truth, settings.protocol)
    metrics, diagnosis = assess(judged, identity), diagnose(judged)
    if settings.class_scores:  # they change the mAP, so metrics.json must name them
        metrics["class_scores"] = {"source": Path(settings.class_scores).name, "top_k": settings.class_top_k}
    workdir = make_folder(workdir)
    save_scores(workdir / SCORES, scores, ground_truth)
    write_activitynet(workdir / DETECTIONS, detections)
    write_assessed(workdir, judged, metrics, diagnosis, title, read_curves(workdir))
    print(precision_table(metrics, settings.protocol))
    print(f"report: {workdir / 'report.html'}")
    return metrics


def write_unjudged(workdir: str | Path, detections: Detections, title: str) -> None:
    """Writes detections.json, detections.csv and report.html to workdir, for detections without ground truth."""
    workdir = Path(workdir)
    write_activitynet(workdir / DETECTIONS, detections)
    write_csv(workdir / "detections.csv", detections)
    write_unjudged_report(workdir / "report.html", detections, title)
    print(f"report: {workdir / 'report.html'}")


def write_assessed(workdir: Path, judged: Judged, metrics: dict, diagnosis: dict, title: str, curves: dict) -> None:
    """Writes metrics.json, diagnosis.json and report.html to workdir, for the detections of any tool.

    curves: {name: (steps, values)} of training; {} for none.
    """
    write_json(workdir / METRICS, metrics)
    write_json(workdir / "diagnosis.json", diagnosis)
    write_report(workdir / "report.html", judged, metrics, title, curves=curves, diagnosis=diagnosis)
