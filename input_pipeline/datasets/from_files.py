"""What `custom`, `thumos14` and `activitynet13` share: videos from feature files, proposal files and annotations.

A build reads every feature file once. It leaves out videos without features and videos whose features are not finite,
and counts them in the data report. Any other fault stops the build. The key of a build contains the digests of the
proposal files and annotations, and the names, sizes and times of change of the feature files (not their gigabytes).
With a Beam runner, its workers write the same examples. They must see the feature files under the same paths.
"""

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping
from functools import partial
from typing import ClassVar

import numpy as np

from contextloc_jax.core.errors import InputError, excerpt
from contextloc_jax.core.files import read_bytes
from contextloc_jax.core.ranges import Range, above, at_least, check_ranges
from input_pipeline.datasets.builder import (
    Contents,
    VideoDatasetBuilder,
    VideoDatasetConfig,
    inputs_key,
    to_example,
)
from input_pipeline.datasets.data_report import Findings
from input_pipeline.datasets.split_files import Split, read_split
from input_pipeline.datasets.stored_features import StoredFeatures
from input_pipeline.formats.annotations import VideoAnnotation, class_names, read_annotations
from input_pipeline.formats.values import ReadReport
from input_pipeline.videos.records import FEATURE_DTYPE, VideoRecord
from input_pipeline.videos.timing import Timing

_GENERATION = 1  # raise it when the code makes other data from the same files


@dataclasses.dataclass(frozen=True)
class Files:
    """Paths (None: not given) and how they are read. All fields except the last are keys of config.data.

    need_ground_truth: True for both splits, each with annotated videos; False (prediction) for only the test split,
    annotated or not. InputError: a value is outside its range.
    """

    train_proposals: str | None
    test_proposals: str | None
    train_features: str | None
    test_features: str | None
    annotations: str | None
    num_classes: int
    fps: float
    snippet_stride: int
    snippet_length: int
    num_bins: int
    feature_dtype: str
    need_ground_truth: bool

    RANGES: ClassVar[Mapping[str, Range]] = {
        "num_classes": Range("the number of action classes in your files", lambda number: number >= 1),
        "fps": above(0, "frames per second"),
        "snippet_stride": at_least(1, "frames"),
        "snippet_length": at_least(1, "frames"),
        "num_bins": at_least(0, "bins"),
        "feature_dtype": FEATURE_DTYPE,
    }

    def __post_init__(self):
        check_ranges("config.data.", dataclasses.asdict(self), self.RANGES)

    def of_split(self, split: str) -> tuple[str, str]:
        """(proposal file, features) of a split. InputError: one of them is not given; the message names the key."""
        paths = []
        for name in (f"{split}_proposals", f"{split}_features"):
            paths.append(getattr(self, name))
            if not paths[-1]:
                raise InputError(f"config.data.{name} is not set: give the path with --config.data.{name}=PATH")
        return paths[0], paths[1]

    @property
    def timing(self) -> Timing:
        return Timing(self.fps, self.snippet_stride, self.snippet_length, self.num_bins)


FILE_SETTINGS = {field.name: Files.RANGES.get(field.name) for field in dataclasses.fields(Files)}


def beam_examples(stored: StoredFeatures, record: VideoRecord) -> list[tuple[str, dict]]:
    """[(key, example)] of a video for a Beam worker; [] if its features cannot be used."""
    features = stored(record)
    return [] if features is None else [(record.video_id, to_example(record, features))]


class ProposalVideos(VideoDatasetBuilder):
    """Base of the three builders. `open_builder` makes them; `files` and `splits` {name: Split} are read by then."""

    files: Files
    splits: dict[str, Split]
    notes: list[str]

    def make_contents(self) -> Contents:
        return Contents(
            splits={name: (len(split.records), partial(self._videos, split)) for name, split in self.splits.items()}
        )

    def findings(self, name: str) -> Findings:
        split = self.splits[name]
        listed = frozenset().union(*(other.listed.union(other.left_out) for other in self.splits.values()))
        unlisted = [video_id for video_id in split.features.video_ids if video_id not in listed]
        return Findings(
            listed=split.listed,
            left_out=split.left_out,
            missing_features=split.missing_features,
            missing_proposals=sorted(split.no_proposals + unlisted),
            list_disagrees=split.list_disagrees,
            guessed_frames=split.guessed_frames,
            reading=split.reading,
            timing=self.files.timing,
        )

    def _split_generators(self, dl_manager):
        if not self.beam_runner:
            return super()._split_generators(dl_manager)
        import apache_beam as beam  # optional: requirements-beam.txt

        return {
            name: beam.Create(split.records)
            | beam.Reshuffle()
            | beam.FlatMap(partial(beam_examples, self._stored(split)))
            for name, split in self.splits.items()
        }

    def _stored(self, split: Split) -> StoredFeatures:
        return StoredFeatures(
            split.features, self.builder_config.feature_width, self.files.num_bins, self.files.feature_dtype
        )

    def _videos(self, split: Split) -> Iterator[tuple[VideoRecord, np.ndarray | None]]:
        stored, usable = self._stored(split), False
        for record in split.records:
            features = stored(record)
            usable |= features is not None
            yield record, features
        if not usable:
            raise InputError(f"{split.features.path}: NaN or infinite features in every video: extract them again")


def open_builder(
    builder_class: type[ProposalVideos],
    data_dir: str,
    files: Files,
    names: tuple[str, ...] | None = None,
    excluded: frozenset[str] = frozenset(),
) -> ProposalVideos:
    """The builder of these files; nothing is written before `download_and_prepare`.

    names: the class names in the order of their indices; by default those of the annotations, else '1', '2', ...
    excluded: ids of test videos to leave out. InputError: a list or a path is wrong.
    """
    paths = {split: files.of_split(split) for split in (("train", "test") if files.need_ground_truth else ("test",))}
    annotations_report = ReadReport()
    videos = read_annotations(files.annotations, annotations_report) if files.annotations else []
    names = names or _class_names(videos, files)
    # ActivityNet's annotations have ids without "v_"; its files, and most lists of them, have ids with "v_".
    annotated = {f"v_{video.video_id}": video for video in videos} | {video.video_id: video for video in videos}
    splits = {}
    for name in paths:
        left_out = excluded if name == "test" else frozenset()
        splits[name] = read_split(*paths[name], list(names), annotated, files.timing, left_out)
        _check_usable(name, splits[name], files)
    config = VideoDatasetConfig(
        name=_key(files, paths, names, splits, excluded),
        feature_width=_feature_width(splits),
        feature_dtype=files.feature_dtype,
        class_names=tuple(names),
    )
    builder = builder_class(data_dir=data_dir, config=config, file_format="array_record")
    builder.files, builder.splits = files, splits
    builder.notes = _notes(files, splits) + annotations_report.lines()
    return builder


def _class_names(videos: list[VideoAnnotation], files: Files) -> tuple[str, ...]:
    """The class names of the annotations; numbers if there are none."""
    names = class_names(videos)
    if names and len(names) != files.num_classes:
        raise InputError(
            f"{files.annotations}: {len(names)} classes {excerpt(names)}, but config.data.num_classes is "
            f"{files.num_classes}: set it to {len(names)}, or leave config.data.annotations out"
        )
    return tuple(names) or tuple(str(number) for number in range(1, files.num_classes + 1))


def _check_usable(name: str, split: Split, files: Files) -> None:
    proposals, features = files.of_split(name)
    if not split.records:
        raise InputError(
            f"{features}: features of none of the {len(split.listed)} videos of {proposals} (such as "
            f"{excerpt(sorted(split.listed)[:3])}); found {excerpt(split.features.video_ids[:3])}; expected these ids"
        )
    if not any(len(record.proposals) for record in split.records):
        raise InputError(f"{proposals}: not one proposal in {len(split.records)} videos: expected some to score")
    if files.need_ground_truth and not any(len(record.gt_labels) for record in split.records):
        raise InputError(
            f"{proposals}: no video has ground truth, which the {name} split needs: use a list that holds it, or give "
            "config.data.annotations that name these videos"
        )


def _feature_width(splits: dict[str, Split]) -> int:
    first = next(iter(splits.values()))
    return first.features.read(first.records[0].video_id).shape[1]


def _key(files: Files, paths, names, splits: dict[str, Split], excluded: frozenset[str]) -> str:
    """The `inputs_key` of settings and content. It does not depend on the folders of the files."""
    settings = {
        name: value
        for name, value in dataclasses.asdict(files).items()
        if name != "annotations" and not name.endswith(("_proposals", "_features"))
    }
    return inputs_key(
        {
            "generation": _GENERATION,
            "settings": settings,
            "class_names": list(names),
            "excluded": sorted(excluded),
            "annotations": _digest(files.annotations) if files.annotations else None,
            "proposals": {split: _digest(paths[split][0]) for split in paths},
            "features": {split: splits[split].features.stamps() for split in splits},
        }
    )


def _digest(path: str) -> str:
    return hashlib.sha256(read_bytes(path)).hexdigest()


def _notes(files: Files, splits: dict[str, Split]) -> list[str]:
    assumed = sum(split.assumed_fps for split in splits.values())
    notes = []
    if assumed:
        notes.append(
            f"{files.fps:g} frames per second assumed for {assumed} videos (config.data.fps), as no file gives it"
        )
    if files.num_bins:
        notes.append(f"features with another number of snippets rescaled to {files.num_bins} bins per video")
    return notes
