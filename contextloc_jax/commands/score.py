"""The mode score: evaluates the detections of any tool against a file of annotations.

Writes metrics.json, diagnosis.json and report.html; and for --mode=compare, detections.json and ground_truth.npz. It
needs no model: neither jax nor TensorFlow is imported. Nothing is written before everything is read and computed.
"""

import hashlib
import json
from pathlib import Path

import numpy as np

from contextloc_jax.commands.evaluated_runs import DETECTIONS, GROUND_TRUTH
from contextloc_jax.commands.results import assess, write_assessed
from contextloc_jax.core.errors import InputError
from contextloc_jax.core.files import make_folder
from contextloc_jax.core.progress import Progress
from contextloc_jax.core.protocols import find_protocol
from contextloc_jax.core.structs import Detections, GroundTruth
from contextloc_jax.evaluation.diagnosis import diagnose
from contextloc_jax.evaluation.judging import judge
from contextloc_jax.evaluation.matching import check_ground_truth, check_names, instances_by_video
from contextloc_jax.interchange.detection_files import read_detections, write_activitynet
from contextloc_jax.interchange.score_files import save_ground_truth
from contextloc_jax.report.tables import diagnosis_tables, precision_table


def score(workdir: str, detections: str, annotations: str, protocol: str, subset: str | None, reader) -> None:
    """Evaluates a file of detections against a file of annotations, and writes the files named above.

    protocol: its name. subset: the annotated subset; None: the one that the protocol evaluates. reader: the module
    input_pipeline.formats.annotations. The command line passes it in, because commands/ never imports input_pipeline.
    """
    chosen = find_protocol(protocol)
    progress = Progress("score", 100, after_seconds=3)  # percent; a million detections take a while
    report = reader.ReadReport()
    videos = reader.read_annotations(annotations, report)
    truth = reader.ground_truth(videos, chosen, subset, reader.class_names(videos), annotations)
    found = read_detections(detections)
    progress.update(30)
    check_ground_truth(truth, annotations)
    _check_subset(found, truth, {video.video_id: video.subset for video in videos}, detections)
    check_names(found, truth, detections)
    judged = judge(found, truth, chosen)
    metrics = assess(judged, content_digest(truth))
    progress.update(60)
    diagnosis = diagnose(judged)
    progress.update(80)
    folder = make_folder(workdir)
    if (folder / DETECTIONS).resolve() != Path(detections).resolve():
        write_activitynet(folder / DETECTIONS, found)
    save_ground_truth(folder / GROUND_TRUTH, truth)
    write_assessed(folder, judged, metrics, diagnosis, f"Scores of {Path(detections).name}", curves={})
    progress.update(100)
    for line in [*report.lines(), *_doubts(found, truth, metrics)]:
        print(f"note: {line}")
    print(precision_table(metrics, chosen), diagnosis_tables(diagnosis, chosen), sep="\n\n")
    print(f"report: {folder / 'report.html'}")


def content_digest(truth: GroundTruth) -> str:
    """SHA-256 (hex) of all annotations that evaluation reads. It does not depend on the order of videos and
    instances."""
    instances = instances_by_video(truth)
    durations = dict(zip(truth.video_ids, truth.duration_seconds.tolist(), strict=True))
    content = [sorted(truth.labels), [[name, durations[name], instances[name]] for name in sorted(instances)]]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _check_subset(found: Detections, truth: GroundTruth, subsets: dict[str, str], path: str) -> None:
    """InputError: a video of the detections is in another subset. `check_names` finds videos without annotations."""
    evaluated = set(truth.video_ids)
    others = [name for name in found.video_ids if name not in evaluated and name in subsets]
    if others:
        raise InputError(
            f"{path}: {len(others)} of its videos, such as {others[0]!r}, are of subset {subsets[others[0]]!r}, not of"
            f" the {len(evaluated)} evaluated; choose the subset with --subset, or remove these videos from the file"
        )


def _doubts(found: Detections, truth: GroundTruth, metrics: dict) -> list[str]:
    """Signs that a mAP is low because of wrong units or files, and not because of the detector."""
    durations = dict(zip(truth.video_ids, truth.duration_seconds.tolist(), strict=True))
    duration = np.array([durations.get(name, np.nan) for name in found.video_ids])[found.video]
    late = int(np.count_nonzero(found.segments[:, 0] > duration))
    lines = []
    if 2 * late > len(duration):
        lines.append(f"{late:,} of {len(duration):,} detections start after their video ends; are times in seconds?")
    elif found.segments.max() <= 1 < np.nanmin(duration, initial=np.inf):
        lines.append("no detection ends later than 1 s; are times in seconds, not fractions of the video?")
    if not any(metrics["mAP"].values()):
        lines.append("mAP is 0: no detection finds an instance of its class at any tIoU; is this the file you meant?")
    return lines
