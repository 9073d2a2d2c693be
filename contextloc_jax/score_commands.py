"""The modes that need no model: score any tool's detections, compare two runs, fuse streams.

None of them imports jax or TensorFlow. Everything is read and computed before anything is written.
"""

import hashlib
import io
import json
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from contextloc_jax import significance
from contextloc_jax.batch import Detections, GroundTruth
from contextloc_jax.class_scores import check_class_scores_file
from contextloc_jax.detection_files import load_ground_truth, load_scores, read_detections, write_activitynet
from contextloc_jax.detections import FUSED_NMS_TIOU
from contextloc_jax.detections import fuse as fuse_scores
from contextloc_jax.diagnosis import diagnose
from contextloc_jax.errors import InputError
from contextloc_jax.evaluate import (
    DetectionSettings,
    assess,
    make_workdir,
    write_assessed,
    write_json,
    write_results,
)
from contextloc_jax.json_file import read_json, write_whole
from contextloc_jax.matching import check_ground_truth, check_names, check_same_ground_truth
from contextloc_jax.metrics import find_protocol
from contextloc_jax.progress import Progress
from contextloc_jax.score_tables import diagnosis_tables, precision_table, terminal_columns

SCORES, METRICS, DETECTIONS, GROUND_TRUTH = "scores.npz", "metrics.json", "detections.json", "ground_truth.npz"
FUSED_SETTINGS = {  # the authors'; class_top_k takes effect with --class_scores alone
    "thumos14": DetectionSettings("thumos14", top_k=2000, nms_tiou=FUSED_NMS_TIOU, nms="hard"),
    "activitynet": DetectionSettings("activitynet", top_k=100, nms_tiou=0.4, nms="hard", class_top_k=2),
}
STREAMS_FORM = "expected --streams=NAME=DIR:WEIGHT,..., such as rgb=runs/rgb:1,flow=runs/flow:1.2"


class Stream(NamedTuple):
    """One evaluated workdir that is fused, and its weight."""

    name: str
    workdir: Path
    weight: float


class Measured(NamedTuple):
    """What a run's metrics.json says of how and on what it was evaluated."""

    protocol: str
    identity: str


def score(workdir: str, detections: str, annotations: str, protocol: str, subset: str | None, reader) -> None:
    """Evaluates a file of detections against a file of annotations.

    Leaves metrics.json, diagnosis.json, report.html and, for --mode=compare, detections.json and ground_truth.npz.
    reader: input_pipeline.annotations, handed in by main.py.
    """
    find_protocol(protocol)
    progress = Progress("score", 100, after_seconds=3)  # percent, as a million detections take their time
    report = reader.ReadReport()
    videos = reader.read_annotations(annotations, report)
    truth = reader.ground_truth(videos, protocol, subset, reader.class_names(videos), annotations)
    found = read_detections(detections)
    progress.update(30)
    check_ground_truth(truth, annotations)
    _check_subset(found, truth, {video.video_id: video.subset for video in videos}, detections)
    check_names(found, truth, detections)
    metrics = assess(found, truth, protocol, content_hash(truth))
    progress.update(60)
    diagnosis = diagnose(found, truth, protocol)
    progress.update(80)
    folder = make_workdir(workdir)
    if (folder / DETECTIONS).resolve() != Path(detections).resolve():
        write_activitynet(folder / DETECTIONS, found)
    _save_ground_truth(folder / GROUND_TRUTH, truth)
    write_assessed(folder, found, truth, metrics, diagnosis, f"Scores of {Path(detections).name}", curves={})
    progress.update(100)
    for line in [*report.lines(), *_doubts(found, truth, metrics)]:
        print(f"note: {line}")
    print(precision_table(metrics), diagnosis_tables(diagnosis), sep="\n\n")
    print(f"report: {folder / 'report.html'}")


def compare(workdir: str, runs: str, protocol: str | None) -> None:
    """Says whether the second of two runs differs from the first by more than chance; leaves comparison.json."""
    names = [name for name in runs.split(",") if name]
    if len(names) != 2:
        raise InputError(f"--runs={runs}: found {len(names)} folders, expected two evaluated workdirs, --runs=A,B")
    folders = [_evaluated(Path(name), f"--runs: {name}") for name in names]
    if folders[0].resolve() == folders[1].resolve():
        raise InputError(f"--runs={runs}: both are the same folder; expected two runs")
    protocol = protocol or _common_protocol(folders)
    truths = [_ground_truth(folder) for folder in folders]
    check_same_ground_truth(*truths, (names[0], names[1]))
    paths = [folder / DETECTIONS for folder in folders]
    found = [read_detections(path) for path in paths]
    for path, detections in zip(paths, found, strict=True):
        check_names(detections, truths[0], path)
    comparison = significance.compare(*found, truths[0], protocol)
    write_json(make_workdir(workdir) / "comparison.json", comparison)
    print(significance.format_comparison(comparison, (names[0], names[1])))
    print(_verdict(comparison, names, len(truths[0].video_ids)))


def fuse(
    workdir: str,
    streams: str,
    protocol: str | None,
    class_scores: str | None = None,
    class_top_k: int | None = None,
) -> None:
    """Fuses the scores of evaluated workdirs by their weights and leaves evaluate's files.

    class_scores, class_top_k: as config.detection's; None: none, and the protocol's usual number of classes.
    """
    parsed = parse_streams(streams)
    check_class_scores_file(class_scores or "")
    if class_top_k is not None and not class_scores:
        raise InputError("--class_top_k chooses among --class_scores, which is not given; name a file or 'oracle'")
    names, folders = [stream.name for stream in parsed], [stream.workdir for stream in parsed]
    for stream in parsed:
        _evaluated(stream.workdir, f"--streams: {stream.name}={stream.workdir}")
        if stream.workdir.resolve() == Path(workdir).resolve():
            raise InputError(f"--workdir={workdir} is the stream {stream.name}; the fusion needs a folder of its own")
    protocol = protocol or _common_protocol(folders)
    find_protocol(protocol)
    truths = [_ground_truth(folder) for folder in folders]
    for name, truth in zip(names[1:], truths[1:], strict=True):
        check_same_ground_truth(truths[0], truth, (names[0], name))
        if truth.labels != truths[0].labels:
            raise InputError(f"{names[0]} and {name} number other classes; evaluate both with the same classes")
    scores = fuse_scores([load_scores(folder / SCORES) for folder in folders], [s.weight for s in parsed], names)
    settings = FUSED_SETTINGS[protocol]._replace(class_scores=class_scores or "")
    if class_top_k is not None:
        settings = settings._replace(class_top_k=class_top_k)
    title = "Fusion of " + ", ".join(f"{stream.name} (weight {stream.weight:g})" for stream in parsed)
    print(f"{title}: {len(scores)} videos")
    write_results(workdir, scores, truths[0], settings, _fused_identity(folders), title)


def parse_streams(text: str) -> list[Stream]:
    """'rgb=DIR:1,flow=DIR:1.2' -> streams. InputError: another form, a name or folder twice, a weight that is none."""
    streams = []
    for part in text.split(","):
        name, equals, rest = part.strip().partition("=")
        folder, colon, weight = rest.rpartition(":")
        if not (name and equals and folder and colon):
            raise InputError(f"--streams: {part!r:.80} is no stream; {STREAMS_FORM}")
        try:
            streams.append(Stream(name, Path(folder), float(weight)))
        except ValueError:
            raise InputError(f"--streams: weight {weight!r:.40} of {name} is no number; {STREAMS_FORM}") from None
        if not 0 <= streams[-1].weight < np.inf:
            raise InputError(f"--streams: weight of {name} is {weight}; expected a number from 0")
    for what, keys in (("name", [s.name for s in streams]), ("folder", [s.workdir.resolve() for s in streams])):
        if len(set(keys)) < len(keys):
            twice = next(stream for stream, key in zip(streams, keys, strict=True) if keys.count(key) > 1)
            raise InputError(f"--streams: the {what} of {twice.name} occurs twice; expected every stream once")
    if len(streams) < 2:
        raise InputError(f"--streams={text}: one stream is nothing to fuse; {STREAMS_FORM}")
    if not sum(stream.weight for stream in streams):
        raise InputError(f"--streams={text}: all weights are 0; {STREAMS_FORM}")
    return streams


def content_hash(truth: GroundTruth) -> str:
    """SHA-256 (hex) of what evaluation reads of annotations; the order of videos and instances changes nothing."""
    instances = {name: [] for name in truth.video_ids}
    for video, label, segment in zip(truth.video, truth.label, truth.segments.tolist(), strict=True):
        instances[truth.video_ids[video]].append([truth.labels[label], *segment])
    durations = dict(zip(truth.video_ids, truth.duration_seconds.tolist(), strict=True))
    content = [sorted(truth.labels), [[name, durations[name], sorted(instances[name])] for name in sorted(instances)]]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _check_subset(found: Detections, truth: GroundTruth, subsets: dict[str, str], path: str) -> None:
    """InputError where detections are of annotated videos of another subset; other strangers are check_names'."""
    evaluated = set(truth.video_ids)
    others = [name for name in found.video_ids if name not in evaluated and name in subsets]
    if others:
        raise InputError(
            f"{path}: {len(others)} of its videos, such as {others[0]!r}, are of subset {subsets[others[0]]!r}, not of"
            f" the {len(evaluated)} evaluated; choose with --subset, or leave them out"
        )


def _doubts(found: Detections, truth: GroundTruth, metrics: dict) -> list[str]:
    """What makes a low mAP look like a mistake of units and not of the detector."""
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


def _evaluated(folder: Path, where: str) -> Path:
    if not folder.is_dir():
        raise InputError(f"{where}: there is no such folder; expected the workdir of an evaluated run")
    return folder


def _ground_truth(folder: Path) -> GroundTruth:
    """What a run was evaluated against: beside its scores, or alone where another tool's detections were scored."""
    path = next((path for path in (folder / SCORES, folder / GROUND_TRUTH) if path.exists()), None)
    truth = load_ground_truth(path) if path else None
    if truth is None:
        raise InputError(f"{folder}: holds no ground truth; run --mode=evaluate or --mode=score there first")
    return truth


def _save_ground_truth(path: Path, truth: GroundTruth) -> None:
    """As in scores.npz, without the scores; detection_files.load_ground_truth reads both."""
    buffer = io.BytesIO()
    np.savez(buffer, **{f"ground_truth.{name}": np.asarray(values) for name, values in truth._asdict().items()})
    write_whole(path, buffer.getvalue())


def _read_metrics(folder: Path) -> Measured:
    content = read_json(folder / METRICS)
    try:
        measured = Measured(content["protocol"], content["data"]["identity"])
        if set(map(type, measured)) == {str}:
            return measured
    except (TypeError, KeyError):
        pass
    raise InputError(f"{folder / METRICS}: names no protocol or no data; is it the metrics.json of an evaluated run?")


def _common_protocol(folders: Sequence[Path]) -> str:
    protocols = [_read_metrics(folder).protocol for folder in folders]
    for folder, protocol in zip(folders, protocols, strict=True):
        if protocol != protocols[0]:
            raise InputError(
                f"{folders[0]} was evaluated under {protocols[0]}, {folder} under {protocol}; choose with --protocol"
            )
    return protocols[0]


def _fused_identity(folders: Sequence[Path]) -> str:
    """The streams' identity where it is one; streams of other features on the same videos give a hash of theirs."""
    identities = sorted({_read_metrics(folder).identity for folder in folders})
    return identities[0] if len(identities) == 1 else hashlib.sha256("\n".join(identities).encode()).hexdigest()


def _verdict(comparison: dict, names: Sequence[str], num_videos: int) -> str:
    """Whether chance explains the difference, in plain words."""
    whole = comparison["average_mAP"]
    low, high = (100 * bound for bound in whole["interval"])
    gap = f"{100 * abs(whole['difference']):.2f} points of average mAP"
    sure = f"{comparison['level']:.0%} interval of the difference {low:+.2f} to {high:+.2f}, p = {whole['p']:.3f}"
    if comparison["conclusion"] == "too few videos to tell":
        text = f"The runs differ by {gap}; so few videos ({num_videos}) cannot tell that from chance."
    elif comparison["conclusion"] == "no difference shown":
        text = f"The runs differ by {gap}, no more than chance may bring about ({sure}); call neither better."
    else:
        better, worse = (names[1], names[0]) if whole["difference"] > 0 else (names[0], names[1])
        text = f"{better} is better than {worse} by {gap}, more than chance explains ({sure})."
    return "\n" + textwrap.fill(text, terminal_columns(), break_long_words=False, break_on_hyphens=False)
