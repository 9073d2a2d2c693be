"""data_report.json and its printed summary: what a dataset holds, what was left out of it, and why.

Per split: `videos` listed and `kept`; the ids of videos `left_out` by a preset, with `missing_features`,
`missing_proposals`, `no_ground_truth`, `length_mismatch`, `non_finite` features, and `duplicates`; proposals per video;
AR@50/100/200; instances per class. The report is made from the finished dataset and from what its files said.
"""

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from contextloc_jax.core.errors import InputError
from contextloc_jax.core.files import write_json
from contextloc_jax.core.segments import pairwise, tiou_of
from contextloc_jax.core.structs import Detections, GroundTruth
from contextloc_jax.evaluation.recall import average_recall
from input_pipeline.formats.values import ReadReport
from input_pipeline.videos.records import VideoRecord
from input_pipeline.videos.timing import Timing

FILE_NAME = "data_report.json"
RECALL_AT = (50, 100, 200)
RECALL_THRESHOLDS = (0.5, 0.7, 0.9)
SHOWN_IDS = 5
SUMMARY = {  # key of a split's report -> its text in the summary
    "left_out": "left out by config.data.test_videos",
    "missing_features": "left out: without features",
    "non_finite": "left out: NaN or infinite features",
    "missing_proposals": "without proposals",
    "no_ground_truth": "without ground truth",
    "length_mismatch": "whose features do not fit their duration",
    "duplicates": "in both splits or with the features of another video",
    "list_disagrees": "whose list has another tIoU or own-overlap than its ground truth gives",
    "guessed_frames": "whose frame count was taken from the features",
}


@dataclass
class Findings:
    """What is known about a split beside the videos that were written: ids, as in SUMMARY.

    listed: all ids that the files name; None: only those written.
    """

    listed: frozenset[str] | None = None
    left_out: list[str] = field(default_factory=list)
    missing_features: list[str] = field(default_factory=list)
    missing_proposals: list[str] = field(default_factory=list)
    list_disagrees: dict[str, int] = field(default_factory=dict)
    guessed_frames: list[str] = field(default_factory=list)
    reading: ReadReport = field(default_factory=ReadReport)
    timing: Timing | None = None  # says how many snippets a video should have; None: any number is right


class Written(NamedTuple):
    """A video of the finished dataset; digest: SHA-256 of its features."""

    record: VideoRecord
    num_snippets: int
    digest: str


def make_report(
    dataset: str,
    class_names: Sequence[str],
    splits: Mapping[str, tuple[Findings, Sequence[Written]]],
    notes: Sequence[str] = (),
) -> dict:
    """The report of a dataset, as JSON values."""
    duplicates = _duplicates(splits)
    return {
        "dataset": dataset,
        "notes": list(notes),
        "splits": {
            name: _split_report(findings, written, class_names, duplicates)
            for name, (findings, written) in splits.items()
        },
    }


def write_report(path: str | os.PathLike, report: dict) -> None:
    """Writes data_report.json, whole or not at all, into a folder that exists. InputError: it cannot be written."""
    write_json(path, report, indent=1, sort_keys=False, ensure_ascii=False)


def summary_lines(report: dict) -> list[str]:
    """The lines that the user sees of a report."""
    lines = []
    for name, split in report["splits"].items():
        lines.append(_headline(f"{report['dataset']} {name}", split))
        lines += [
            f"  {len(split[key])} videos {text}: {_ids(split[key])}" for key, text in SUMMARY.items() if split[key]
        ]
        lines += _length_hint(split["length_mismatch"], split["kept"])
        lines += [f"  {found['count']} x {what} (first: {found['first']})" for what, found in split["reading"].items()]
    return lines + [f"  note: {note}" for note in report["notes"]]


def recall_at(records: Sequence[VideoRecord], counts: Sequence[int] = RECALL_AT) -> dict | None:
    """AR at average numbers of proposals per video (`evaluation.recall.average_recall`), tIoU 0.5 .. 0.95.

    {"50": value, ..., "ranked_by": "score" or "file order"}: without the generator's scores, the order of the file
    ranks the proposals, the best ones first. None if no video has both instances and proposals.
    """
    annotated = [record for record in records if len(record.gt_labels)]
    if not any(len(record.proposals) for record in annotated):
        return None
    scored = all(record.proposal_scores is not None for record in annotated)
    ranks = [r.proposal_scores if scored else -np.arange(len(r.proposals), dtype=np.float64) for r in annotated]
    video, segments = _in_seconds([(record.proposals, record.fps) for record in annotated])
    gt_video, gt_segments = _in_seconds([(record.gt_segments, record.fps) for record in annotated])
    ids, durations = zip(*((record.video_id, record.duration_seconds) for record in annotated), strict=True)
    proposals = Detections(list(ids), ["any"], video, np.zeros(len(video), np.int64), segments, np.concatenate(ranks))
    truth = GroundTruth(
        list(ids), np.array(durations), ["any"], gt_video, np.zeros(len(gt_video), np.int64), gt_segments
    )
    try:
        curve = average_recall(proposals, truth, max_average=max(counts))
    except InputError:  # the share of proposals that the rule takes can round to none in every video
        return None
    return {str(n): round(curve.at(n), 4) for n in counts} | {"ranked_by": "score" if scored else "file order"}


def proposal_recall(pairs, thresholds=RECALL_THRESHOLDS) -> list[float]:
    """Share of ground-truth segments that some proposal meets with tIoU >= threshold.

    `pairs`: (gt_segments [G, 2], proposals [P, 2]) of every video. This is the tIoU of real intervals, not that of
    whole frames (+1), which relations between proposals use.
    """
    best = np.concatenate([pairwise(tiou_of, gt, proposals).max(axis=1, initial=0) for gt, proposals in pairs])
    return [float((best >= threshold).mean()) for threshold in thresholds]


def _split_report(findings: Findings, written: Sequence[Written], class_names, duplicates: set[str]) -> dict:
    records = [video.record for video in written]
    kept = {record.video_id for record in records}
    listed = kept if findings.listed is None else findings.listed
    labels = np.concatenate([np.zeros(0, np.int64), *(record.gt_labels for record in records)])
    instances = np.bincount(labels, minlength=len(class_names) + 1)[1:]
    annotated = [(record.gt_segments, record.proposals) for record in records if len(record.gt_labels)]
    recall = proposal_recall(annotated) if annotated else []
    reading = findings.reading.findings.items()
    return {
        "videos": len(listed),
        "kept": len(records),
        "left_out": findings.left_out,
        "missing_features": findings.missing_features,
        "missing_proposals": findings.missing_proposals,
        "no_ground_truth": [record.video_id for record in records if not len(record.gt_labels)],
        "length_mismatch": _length_mismatches(written, findings.timing),
        "non_finite": sorted(listed - kept - set(findings.missing_features)),
        "duplicates": sorted(kept & duplicates),
        "list_disagrees": findings.list_disagrees,
        "guessed_frames": findings.guessed_frames,
        "seconds": round(sum(record.duration_seconds for record in records), 3),
        "proposals": _proposals_a_video(records),
        "average_recall": recall_at(records),
        "recall": {f"{at:g}": round(value, 4) for at, value in zip(RECALL_THRESHOLDS, recall, strict=False)},
        "instances": dict(zip(class_names, instances.tolist(), strict=True)),
        "reading": {what: {"count": len(where), "first": where[0]} for what, where in reading},
    }


def _duplicates(splits: Mapping[str, tuple[Findings, Sequence[Written]]]) -> set[str]:
    """Ids that occur in several splits, or whose features are those of another video."""
    same = defaultdict(list)
    for _, written in splits.values():
        for video in written:
            same["id", video.record.video_id].append(video.record.video_id)
            same["features", video.digest].append(video.record.video_id)
    return {video_id for ids in same.values() if len(ids) > 1 for video_id in ids}


def _length_mismatches(written: Sequence[Written], timing: Timing | None) -> dict[str, dict]:
    """{video id: {"snippets": T, "expected": [fewest, most]}}."""
    return {
        record.video_id: {"snippets": snippets, "expected": list(timing.expected_snippets(record.num_frames))}
        for record, snippets, _ in written
        if timing is not None and not timing.fits(snippets, record.num_frames)
    }


def _length_hint(mismatches: dict[str, dict], kept: int) -> list[str]:
    """If most videos do not fit, one setting is wrong: a line that says by which factor."""
    if 2 * len(mismatches) <= kept:
        return []
    ratio = np.median([2 * found["snippets"] / sum(found["expected"]) for found in mismatches.values()])
    return [
        f"  the median of these has {ratio:.3g} times as many snippets as its duration and config.data.fps, "
        "snippet_stride and snippet_length give: are these the values that the features were extracted with?"
    ]


def _proposals_a_video(records: Sequence[VideoRecord]) -> dict:
    counts = np.array([len(record.proposals) for record in records] or [0])
    return {
        "total": int(counts.sum()),
        "least": int(counts.min()),
        "median": float(np.median(counts)),
        "most": int(counts.max()),
    }


def _headline(name: str, split: dict) -> str:
    found = "no recall without ground truth"
    if split["average_recall"]:
        values = [split["average_recall"][str(count)] for count in RECALL_AT]
        found = f"recall at tIoU {_joined(RECALL_THRESHOLDS)} {_joined(split['recall'].values(), '.3f')}, "
        found += f"AR@{_joined(RECALL_AT)} {_joined(values, '.3f')}"
    classes = sum(count > 0 for count in split["instances"].values())
    return (
        f"{name}: {split['kept']} of {split['videos']} videos, {split['seconds'] / 60:.0f} minutes, "
        f"{sum(split['instances'].values())} instances of {classes} classes, "
        f"{split['proposals']['median']:.0f} proposals per video (median), {found}"
    )


def _joined(values, form: str = "g") -> str:
    return "/".join(format(value, form) for value in values)


def _ids(found: list | dict) -> str:
    ids = list(found)
    return ", ".join(ids[:SHOWN_IDS]) + (f" and {len(ids) - SHOWN_IDS} more" if len(ids) > SHOWN_IDS else "")


def _in_seconds(segments: Sequence[tuple[np.ndarray, float]]) -> tuple[np.ndarray, np.ndarray]:
    """[(frames [N, 2], fps) of every video] -> (video number [sum N], seconds [sum N, 2])."""
    video = np.repeat(np.arange(len(segments)), [len(frames) for frames, _ in segments])
    return video, np.concatenate([frames.reshape(-1, 2) / fps for frames, fps in segments])
