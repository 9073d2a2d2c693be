"""Annotations: ActivityNet's JSON (v1.2, v1.3) and the flat THUMOS14 form, read into one object per video.

ActivityNet:    {"version": ..., "taxonomy": [...], "database": {video id: {"duration": 82.7, "subset": "validation",
                 "annotations": [{"segment": [1.5, 20.0], "label": "Archery"}]}}}
flat THUMOS14:  {video id: {"duration_second": 269.0, "duration_frame": 2690, "annotations": [as above]}}

Times are seconds, as numbers or strings. `duration`, `fps`, `duration_frame`, `subset` are optional in both forms. The
flat form has the subset in the video ids (video_validation_..., video_test_...). Instances with end <= start are
skipped. Instances that end after the video are kept as they are. The ReadReport counts both.
"""

import math
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from contextloc_jax.core.errors import InputError, excerpt
from contextloc_jax.core.files import read_json, write_json
from contextloc_jax.core.protocols import find_protocol
from contextloc_jax.core.structs import GroundTruth
from input_pipeline.formats.values import ReadReport, parse_seconds, parse_segment

SMALLEST = 0.001  # a smaller duration (s), fps or frame count is a mistake
_SUBSET_IN_NAME = re.compile(r"video_(validation|test)_\d+")
_KNOWN_KEYS = {"annotations", "subset", "duration", "duration_second", "duration_frame", "fps"}


@dataclass(frozen=True)
class VideoAnnotation:
    """What annotations say about one video with G instances; None for what they do not say.

    labels: G class names; segments_seconds [G, 2] float64; subset as written, "" if the file has none.
    """

    video_id: str
    labels: tuple[str, ...]
    segments_seconds: np.ndarray
    subset: str = ""
    duration_seconds: float | None = None
    num_frames: int | None = None
    fps: float | None = None


def read_annotations(path: str | os.PathLike, report: ReadReport | None = None) -> list[VideoAnnotation]:
    """All videos of an annotation file of either form, in file order.

    InputError, with file and video: the file has neither form, a video occurs twice, a time is negative, not finite or
    not a number, a label is not text, or a duration is not positive.
    """
    report = report or ReadReport()
    content = read_json(path)
    if not isinstance(content, dict):
        raise InputError(
            f"{path}: found {excerpt(content)}, expected {{'database': {{video id: ...}}}} or {{video id: ...}}"
        )
    videos = content.get("database", content)
    if "results" in content and "database" not in content:
        raise InputError(f"{path}: holds detections ('results'), expected annotations ('database')")
    if not isinstance(videos, dict) or not videos:
        raise InputError(f"{path}: no videos: expected {{'database': {{video id: ...}}}} or {{video id: ...}}")
    return [_video(path, video_id, entry, report) for video_id, entry in videos.items()]


def write_annotations(path: str | os.PathLike, videos: Iterable[VideoAnnotation], version: str = "") -> None:
    """Writes ActivityNet's form; `read_annotations` gives the same videos back. InputError: it cannot be written."""
    database = {video.video_id: _entry(video) for video in videos}
    write_json(path, {"version": version, "taxonomy": [], "database": database}, indent=1, sort_keys=False)


def class_names(videos: Iterable[VideoAnnotation]) -> list[str]:
    """All labels that occur, sorted; labels that are numbers are sorted as numbers. Class index k of a proposal list is
    entry k - 1."""
    return sorted(
        {label for video in videos for label in video.labels},
        key=lambda name: (0, int(name), name) if name.isascii() and name.isdigit() and len(name) < 10 else (1, 0, name),
    )


def select_subset(
    videos: Sequence[VideoAnnotation],
    protocol: str,
    subset: str | None = None,
    path: str | os.PathLike = "annotations",
) -> list[VideoAnnotation]:
    """The videos of `subset` (any case); None: of the subset that `protocol` evaluates.

    If no video has a subset and `subset` is None, all videos. path: their file, for the messages.
    InputError: the protocol is unknown, or no video is in the subset.
    """
    evaluated = find_protocol(protocol).subsets
    if not any(video.subset for video in videos):
        if subset is not None:
            raise InputError(
                f"{path}: no video names a subset, but --subset={subset} asks for one; leave it out to take all videos"
            )
        return list(videos)
    wanted = evaluated if subset is None else (subset.lower(),)
    chosen = [video for video in videos if video.subset.lower() in wanted]
    if not chosen:
        present = excerpt(sorted({video.subset for video in videos if video.subset}))
        raise InputError(
            f"{path}: no annotated video is in subset {' or '.join(wanted)!r}; --subset may be one of {present}"
        )
    return chosen


def ground_truth(
    videos: Sequence[VideoAnnotation],
    protocol: str,
    subset: str | None = None,
    labels: Sequence[str] | None = None,
    path: str | os.PathLike = "annotations",
) -> GroundTruth:
    """The instances of one subset (see `select_subset`) as evaluation reads them, in seconds.

    labels: the class names in the order of their indices, by default `class_names` of the subset. duration_seconds is
    NaN if the file does not give it. InputError: the label of an instance is not among `labels`.
    """
    chosen = select_subset(videos, protocol, subset, path)
    names = list(class_names(chosen) if labels is None else labels)
    index = {name: position for position, name in enumerate(names)}
    for video in chosen:
        for label in video.labels:
            if label not in index:
                raise InputError(
                    f"{path}: video {excerpt(video.video_id)}: label {excerpt(label)} is not one of the {len(names)}"
                    " classes"
                )
    counts = [len(video.labels) for video in chosen]
    return GroundTruth(
        video_ids=[video.video_id for video in chosen],
        duration_seconds=np.array([video.duration_seconds or math.nan for video in chosen], np.float64),
        labels=names,
        video=np.repeat(np.arange(len(chosen)), counts),
        label=np.array([index[label] for video in chosen for label in video.labels], np.int64),
        segments=np.concatenate([np.zeros((0, 2)), *(video.segments_seconds for video in chosen)]),
    )


def _video(path: str | os.PathLike, video_id: str, entry: object, report: ReadReport) -> VideoAnnotation:
    where = f"{path}: video {excerpt(video_id)}"
    if not isinstance(entry, dict) or not entry.keys() & _KNOWN_KEYS:
        raise InputError(
            f"{where}: found {excerpt(entry)}, expected an object with 'annotations' (and 'duration', 'subset')"
        )
    duration = _positive(entry, ("duration", "duration_second"), where)
    num_frames = _positive(entry, ("duration_frame",), where)
    fps = _positive(entry, ("fps",), where)
    if num_frames is not None and num_frames % 1:
        raise InputError(f"{where}: duration_frame is {num_frames:g}, expected a whole number of frames")
    labels, segments = _instances(entry.get("annotations", []), duration, where, report)
    return VideoAnnotation(
        video_id=video_id,
        labels=tuple(labels),
        segments_seconds=np.array(segments, np.float64).reshape(-1, 2),
        subset=_subset(entry, video_id, where),
        duration_seconds=duration,
        num_frames=None if num_frames is None else int(num_frames),
        fps=num_frames / duration if fps is None and num_frames and duration else fps,
    )


def _instances(
    instances: object, duration: float | None, where: str, report: ReadReport
) -> tuple[list[str], list[tuple[float, float]]]:
    """The instances that are kept: labels and (start, end) in seconds."""
    if not isinstance(instances, list):
        raise InputError(f"{where}: annotations is {excerpt(instances)}, expected a list of instances")
    labels, segments = [], []
    for instance in instances:
        if not isinstance(instance, dict):
            raise InputError(f"{where}: found {excerpt(instance)}, expected {{'segment': [start, end], 'label': name}}")
        label, (start, end) = _label(instance.get("label"), where), parse_segment(instance.get("segment"), where)
        if end <= start:
            report.note("instance skipped: end <= start", f"{where} [{start:g}, {end:g}]")
            continue
        if duration is not None and end > duration:
            report.note("instance kept that ends after the video", f"{where} [{start:g}, {end:g}] of {duration:g} s")
        labels.append(label)
        segments.append((start, end))
    return labels, segments


def _label(label: object, where: str) -> str:
    if isinstance(label, int) and not isinstance(label, bool):
        return str(label)
    if not isinstance(label, str) or not label.strip():
        raise InputError(f"{where}: label is {excerpt(label)}, expected the name of a class")
    return label


def _positive(entry: dict, keys: tuple[str, ...], where: str) -> float | None:
    """The value of the first of `keys` that the entry has; None if it has none of them (or null)."""
    for key in keys:
        if entry.get(key) is not None:
            value = parse_seconds(entry[key], where, key)
            if value < SMALLEST:
                raise InputError(f"{where}: {key} is {excerpt(entry[key])}, expected a number of at least {SMALLEST}")
            return value
    return None


def _subset(entry: dict, video_id: str, where: str) -> str:
    subset = entry.get("subset")
    if subset is None:
        in_name = _SUBSET_IN_NAME.fullmatch(video_id)
        return in_name[1] if in_name else ""
    if not isinstance(subset, str):
        raise InputError(f"{where}: subset is {excerpt(subset)}, expected a name such as 'validation'")
    return subset


def _entry(video: VideoAnnotation) -> dict:
    """The JSON object that `_video` reads as `video`."""
    known = {
        "duration": video.duration_seconds,
        "duration_frame": video.num_frames,
        "fps": video.fps,
        "subset": video.subset,
    }
    instances = zip(video.labels, video.segments_seconds.tolist(), strict=True)
    return {key: value for key, value in known.items() if value is not None} | {
        "annotations": [{"segment": segment, "label": label} for label, segment in instances]
    }
