"""One split of a dataset from its files: a proposal file, feature files, and annotations if there are any.

Every frame here is a frame of the video that the features were extracted from. P-GCN lists count such frames; if the
annotations give the duration of a listed video, its fps is n_frames / duration. CSV, JSON and annotations give seconds:
seconds.py converts them to frames. The data report counts the videos for which config.data.fps is assumed.
"""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from contextloc_jax.core.errors import InputError
from input_pipeline.datasets.seconds import SecondsReader, fps_of, frames_of
from input_pipeline.formats.annotations import VideoAnnotation
from input_pipeline.formats.features import feature_videos, find_features, read_features
from input_pipeline.formats.proposal_list import read_normalized_proposal_list, read_proposal_list
from input_pipeline.formats.proposal_tables import (
    proposal_format,
    read_proposal_csv,
    read_proposal_json,
)
from input_pipeline.formats.values import ReadReport
from input_pipeline.videos.labels import label_proposals
from input_pipeline.videos.records import VideoRecord
from input_pipeline.videos.timing import Timing

# How much tIoU and own-overlap in a list may differ from those of its ground truth: by this share, and by the change
# that this number of frames makes. Lists were often computed in seconds and rounded.
AGREEMENT, AGREEMENT_FRAMES = 0.01, 3
SLOW_BYTES = 2**24  # a larger proposal file takes more than about two seconds to read


class FeatureFiles:
    """The feature files of a split: a folder with one file per video, or one file for all (features.py)."""

    def __init__(self, path: str):
        if not os.path.exists(path):
            raise InputError(f"{path}: no such folder or file of features: check the path")
        self.path = path
        self._names = feature_videos(path)
        self._known = set(self._names)

    @property
    def video_ids(self) -> list[str]:
        """Sorted ids; those of a folder are the names of its files without suffix."""
        return self._names

    def has(self, video_id: str) -> bool:
        """Whether there are features of this video. InputError: there are two files of its name."""
        if os.path.isdir(self.path):
            return find_features(self.path, video_id) is not None
        return video_id in self._known

    def read(self, video_id: str, width: int | None = None) -> np.ndarray:
        """[T, D] as from `features.read_features`, but NaN and infinite values are allowed."""
        return read_features(self.path, video_id, width, check_finite=False)

    def num_snippets(self, video_id: str) -> int | None:
        """The number of snippets of a video; None if it has no features."""
        return len(self.read(video_id)) if self.has(video_id) else None

    def stamps(self) -> list:
        """Name, size and time of change of every file. They show a change of content without reading gigabytes."""
        path = Path(self.path)
        try:
            files = sorted(path.iterdir()) if path.is_dir() else [path]
            return [[file.name, *_size_and_time(file)] for file in files if not file.name.startswith(".")]
        except OSError as error:
            raise InputError(f"{self.path}: cannot be listed ({error.strerror})") from None


@dataclass
class Split:
    """The videos of a split that have features, and what was found while they were read.

    listed            ids in the proposal file, without those left_out by a preset
    missing_features  those of them without features
    no_proposals      those of them without a proposal
    list_disagrees    {id: number of proposals whose tIoU or own-overlap in the list differs from its ground truth}
    guessed_frames    ids whose frame count had to come from the features
    assumed_fps       how many videos have the configured fps because no file gives it
    """

    records: list[VideoRecord]
    features: FeatureFiles
    listed: frozenset[str]
    reading: ReadReport
    left_out: list[str] = field(default_factory=list)
    missing_features: list[str] = field(default_factory=list)
    no_proposals: list[str] = field(default_factory=list)
    list_disagrees: dict[str, int] = field(default_factory=dict)
    guessed_frames: list[str] = field(default_factory=list)
    assumed_fps: int = 0


def read_split(
    proposals: str,
    features: str,
    class_names: list[str],
    annotated: Mapping[str, VideoAnnotation],
    timing: Timing,
    excluded: frozenset[str] = frozenset(),
) -> Split:
    """Reads the proposal file (its content shows which of the four forms it has) and looks for the feature files.

    class_names: in the order of their indices. annotated: {video id: annotation}, empty if there are none. A list
    contains its ground truth; for CSV and JSON, the annotations contain it. excluded: ids of videos to leave out.
    InputError: as for the readers of the files.
    """
    files = FeatureFiles(features)
    reading = ReadReport()
    guessed: set[str] = set()
    form = proposal_format(proposals)
    if (size := os.path.getsize(proposals)) > SLOW_BYTES:
        print(f"reading {proposals}: about {size / 7e6:.0f} s", file=sys.stderr)
    if form in ("list", "normalized"):
        records = _read_list(proposals, form, len(class_names), annotated, timing, reading)
    else:
        read = read_proposal_json if form == "json" else read_proposal_csv
        seconds = SecondsReader(proposals, class_names, annotated, timing, files.num_snippets, reading, guessed)
        records = [seconds.record(video) for video in read(proposals, reading)]
    left_out = sorted({record.video_id for record in records} & excluded)
    records = [record for record in records if record.video_id not in excluded]
    with_features = [record for record in records if files.has(record.video_id)]
    kept = {record.video_id for record in with_features}
    return Split(
        records=with_features,
        features=files,
        listed=frozenset(record.video_id for record in records),
        reading=reading,
        left_out=left_out,
        missing_features=sorted({record.video_id for record in records} - kept),
        no_proposals=sorted(record.video_id for record in records if not len(record.proposals)),
        list_disagrees={r.video_id: n for r in with_features if (n := _disagreements(r))},
        guessed_frames=sorted(guessed & kept),
        assumed_fps=sum(not _states_fps(annotated.get(video_id), form) for video_id in kept),
    )


def _size_and_time(file: Path) -> tuple[int, int]:
    status = file.stat()
    return status.st_size, status.st_mtime_ns


def _read_list(path, form, num_classes, annotated, timing: Timing, reading) -> list[VideoRecord]:
    """The videos of a P-GCN or SSN list, with the frame rates of the annotations if there are any."""
    if form == "list":
        records = read_proposal_list(path, timing.fps, num_classes, reading)
        return [_retimed(record, annotated.get(record.video_id)) for record in records]
    frames = {name: frames_of(video, fps_of(video, timing)) or 0 for name, video in annotated.items()}
    records = read_normalized_proposal_list(path, frames or None, timing.fps, num_classes, reading)
    return [replace(record, fps=fps_of(annotated.get(record.video_id), timing)) for record in records]


def _retimed(record: VideoRecord, video: VideoAnnotation | None) -> VideoRecord:
    if video is None:
        return record
    if video.duration_seconds:
        return replace(record, fps=record.num_frames / video.duration_seconds)
    return replace(record, fps=video.fps or record.fps)


def _states_fps(video: VideoAnnotation | None, form: str) -> bool:
    return video is not None and (video.fps is not None or (form == "list" and video.duration_seconds is not None))


def _disagreements(record: VideoRecord) -> int:
    """How many proposals have another tIoU or own-overlap in the file than ground truth gives; without clipped ones."""
    _, tiou, overlap_self, coverage = label_proposals(
        record.proposals, record.gt_segments, record.gt_labels, record.num_frames
    )
    asked = np.isclose(coverage, record.proposal_coverage)
    tolerance = AGREEMENT + AGREEMENT_FRAMES / (record.proposals[:, 1] - record.proposals[:, 0])
    wrong = np.abs(tiou - record.proposal_tiou) > tolerance
    wrong |= np.abs(overlap_self - record.proposal_overlap_self) > tolerance
    return int((wrong & asked).sum())
