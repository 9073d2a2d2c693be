"""Proposal lists in text form: P-GCN's (whole frames) and SSN's normalized ones (fractions of the video).

proposal_list_text.py says how they are written. P-GCN's parser has three rules ("golden rules"): it skips segments
with end <= start, skips segments that start past the video, and clips an end past the video. The ReadReport counts all
three. Any other fault is an InputError with its line.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from contextloc_jax.core.errors import InputError
from contextloc_jax.core.files import write_whole
from input_pipeline.formats.proposal_list_text import MAX_FRAMES, Group, Rows, group_lines, read_groups
from input_pipeline.formats.values import ReadReport
from input_pipeline.videos.records import VideoRecord


@dataclass(frozen=True)
class NormalizedVideo:
    """One group of a normalized list, as written: G instances, P proposals, times as fractions of the video.

    num_frames is the product in the header; 1 if the list does not know it. gt_labels [G] int64, gt_fractions [G, 2],
    proposal_labels [P] int64, proposal_tiou, proposal_overlap_self [P], proposal_fractions [P, 2] float64;
    proposal_scores [P] or None. Labels are class indices.
    """

    video_id: str
    num_frames: int
    gt_labels: np.ndarray
    gt_fractions: np.ndarray
    proposal_labels: np.ndarray
    proposal_tiou: np.ndarray
    proposal_overlap_self: np.ndarray
    proposal_fractions: np.ndarray
    proposal_scores: np.ndarray | None = None


def read_proposal_list(
    path: str | os.PathLike,
    fps: float,
    num_classes: int | None = None,
    report: ReadReport | None = None,
) -> list[VideoRecord]:
    """The videos of a P-GCN list in file order, also those without instances or proposals.

    fps: frames per second, which the list does not give. num_classes: a class index above it is an InputError.
    proposal_coverage is that of the proposal before its end is clipped (golden rule).
    """
    report = report or ReadReport()
    return [_record(group, group.num_frames, fps, report) for group in read_groups(path, False, num_classes)]


def read_normalized_list(path: str | os.PathLike, num_classes: int | None = None) -> list[NormalizedVideo]:
    """The groups of an SSN normalized list as written: nothing is skipped or clipped."""
    return [_normalized(group) for group in read_groups(path, True, num_classes)]


def read_normalized_proposal_list(
    path: str | os.PathLike,
    num_frames: Mapping[str, int] | None,
    fps: float,
    num_classes: int | None = None,
    report: ReadReport | None = None,
) -> list[VideoRecord]:
    """The videos of an SSN normalized list in frames: frame = int(fraction * n_frames), as SSN converts them.

    num_frames: {video id: frames}; None: those in the headers of the list, which must then be above 1. Segments that
    are empty in whole frames are skipped, and counted with those of end <= start.
    """
    report = report or ReadReport()
    records = []
    for group in read_groups(path, True, num_classes):
        frames = int(num_frames.get(group.video_id, 0)) if num_frames is not None else group.num_frames
        if not (num_frames is None) < frames <= MAX_FRAMES:
            raise InputError(
                f"{path}:{group.line}: {group.video_id} has no frame count: the list holds fractions of the video; give"
                " annotations with its duration"
            )
        in_frames = replace(
            group, ground_truth=_scaled(group.ground_truth, 1, frames), proposals=_scaled(group.proposals, 3, frames)
        )
        records.append(_record(in_frames, frames, fps, report))
    return records


def write_proposal_list(path: str | os.PathLike, records: Iterable[VideoRecord]) -> None:
    """Writes records as a P-GCN list; `read_proposal_list` with the same fps gives them back.

    A clipped end is written as it was before: it follows from the coverage. InputError: a list cannot hold an id.
    """
    _write(path, _list_lines((_group_of_record(record) for record in records), fractions=False))


def write_normalized_list(path: str | os.PathLike, videos: Iterable[NormalizedVideo]) -> None:
    """Writes a normalized list; `read_normalized_list` gives the same videos back. InputError: as above."""
    _write(path, _list_lines((_group_of_normalized(video) for video in videos), fractions=True))


def _write(path: str | os.PathLike, lines: Iterable[str]) -> None:
    write_whole(path, "".join(f"{line}\n" for line in lines))


def normalize(record: VideoRecord) -> NormalizedVideo:
    """The record with times as fractions of the video, which int(fraction * n_frames) turns back into its frames."""
    return NormalizedVideo(
        video_id=record.video_id,
        num_frames=record.num_frames,
        gt_labels=record.gt_labels,
        gt_fractions=_fractions(record.gt_segments, record.num_frames),
        proposal_labels=record.proposal_labels,
        proposal_tiou=record.proposal_tiou,
        proposal_overlap_self=record.proposal_overlap_self,
        proposal_fractions=_fractions(record.proposals, record.num_frames),
        proposal_scores=record.proposal_scores,
    )


def _record(group: Group, num_frames: int, fps: float, report: ReadReport) -> VideoRecord:
    """The record of a group whose times are frames, by the golden rules."""
    gt_kept = _kept(group, "ground truth", group.ground_truth, 1, num_frames, report)
    kept = _kept(group, "proposal", group.proposals, 3, num_frames, report)
    ground_truth, proposals = group.ground_truth.values[gt_kept], group.proposals.values[kept]
    return VideoRecord(
        video_id=group.video_id,
        num_frames=num_frames,
        fps=fps,
        gt_labels=ground_truth[:, 0].astype(np.int64),
        gt_segments=np.minimum(ground_truth[:, 1:3], num_frames).astype(np.int64),
        proposals=np.minimum(proposals[:, 3:5], num_frames).astype(np.int64),
        proposal_labels=proposals[:, 0].astype(np.int64),
        proposal_tiou=proposals[:, 1],
        proposal_overlap_self=proposals[:, 2],
        proposal_coverage=(proposals[:, 4] - proposals[:, 3]) / num_frames,
        proposal_scores=None if group.scores is None else group.scores[kept],
        group=group.video_id,
    )


def _kept(group: Group, kind: str, rows: Rows, first_time: int, num_frames: int, report: ReadReport) -> np.ndarray:
    """[N] bool: the rows that the golden rules keep. The report counts the skipped and the clipped ones."""
    start, end = rows.values[:, first_time : first_time + 2].T
    empty = end <= start
    beyond = ~empty & (start >= num_frames)
    clipped = ~empty & ~beyond & (end > num_frames)
    for what, found in (
        (f"{kind} skipped: end <= start", empty),
        (f"{kind} skipped: starts after the end of the video", beyond),
        (f"{kind} clipped at the end of the video", clipped),
    ):
        for row in np.flatnonzero(found):
            report.note(what, f"{group.path}:{rows.lines[row]} ({group.video_id})")
    return ~empty & ~beyond


def _scaled(rows: Rows, first_time: int, num_frames: int) -> Rows:
    values = rows.values.copy()
    values[:, first_time : first_time + 2] = np.floor(values[:, first_time : first_time + 2] * num_frames)
    return replace(rows, values=values)


def _fractions(frames: np.ndarray, num_frames: int) -> np.ndarray:
    """frames / num_frames, raised by the smallest step if truncation would give the frame before."""
    fractions = frames / num_frames
    return np.where(np.floor(fractions * num_frames) < frames, np.nextafter(fractions, 2), fractions)


def _list_lines(groups: Iterable[Group], fractions: bool) -> Iterator[str]:
    for number, group in enumerate(groups, 1):
        yield f"# {number}"
        yield from group_lines(group, fractions)


def _columns(*columns: np.ndarray | None) -> Rows:
    return Rows(np.column_stack([column for column in columns if column is not None]).astype(np.float64), [])


def _group_of_record(record: VideoRecord) -> Group:
    unclipped_end = record.proposals[:, 0] + np.rint(record.proposal_coverage * record.num_frames)
    clipped = record.proposals[:, 1] >= record.num_frames
    segments = np.column_stack([record.proposals[:, 0], np.where(clipped, unclipped_end, record.proposals[:, 1])])
    return _group(record, record.gt_segments, segments)


def _group_of_normalized(video: NormalizedVideo) -> Group:
    return _group(video, video.gt_fractions, video.proposal_fractions)


def _group(video: VideoRecord | NormalizedVideo, gt_segments: np.ndarray, segments: np.ndarray) -> Group:
    labeled = (video.proposal_labels, video.proposal_tiou, video.proposal_overlap_self)
    return Group(
        path="",
        line=0,
        video_id=video.video_id,
        num_frames=video.num_frames,
        ground_truth=_columns(video.gt_labels, gt_segments),
        proposals=_columns(*labeled, segments, video.proposal_scores),
    )


def _normalized(group: Group) -> NormalizedVideo:
    ground_truth, proposals = group.ground_truth.values, group.proposals.values
    return NormalizedVideo(
        video_id=group.video_id,
        num_frames=group.num_frames,
        gt_labels=ground_truth[:, 0].astype(np.int64),
        gt_fractions=ground_truth[:, 1:3],
        proposal_labels=proposals[:, 0].astype(np.int64),
        proposal_tiou=proposals[:, 1],
        proposal_overlap_self=proposals[:, 2],
        proposal_fractions=proposals[:, 3:5],
        proposal_scores=group.scores,
    )
