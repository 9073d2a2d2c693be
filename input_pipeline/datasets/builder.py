"""The one TFDS example that every dataset shares, and the builder base that writes it.

One example is one video: identity, timing, snippet features, ground truth and labeled proposals. Arrays are stored
as raw bytes (12x faster to write than TFDS' default, exact, and the dtype of the features is kept).
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds

from contextloc_jax.core.files import read_json
from contextloc_jax.core.progress import Progress
from contextloc_jax.core.ranges import check_range
from input_pipeline.datasets import data_report
from input_pipeline.datasets.data_report import Findings, Written
from input_pipeline.videos.records import FEATURE_DTYPE, VideoRecord

_ARRAY_FIELDS = {  # VideoRecord field -> (shape, dtype) as stored; see VideoRecord for the meaning
    "gt_labels": ((None,), np.int64),
    "gt_segments": ((None, 2), np.int64),
    "proposals": ((None, 2), np.int64),
    "proposal_labels": ((None,), np.int64),
    "proposal_tiou": ((None,), np.float64),
    "proposal_overlap_self": ((None,), np.float64),
    "proposal_coverage": ((None,), np.float64),
    "proposal_scores": ((None,), np.float64),
}


def example_spec(feature_width: int, feature_dtype: str) -> tfds.features.FeaturesDict:
    """Features of an example: `features` [T, feature_width] of `feature_dtype`, and a VideoRecord's fields."""
    check_range("config.data.feature_dtype", feature_dtype, FEATURE_DTYPE)

    def tensor(shape, dtype):
        return tfds.features.Tensor(shape=shape, dtype=dtype, encoding="bytes")

    return tfds.features.FeaturesDict(
        {
            "video_id": tfds.features.Text(),
            "group": tfds.features.Text(),
            "fps": tensor((), np.float64),
            "num_frames": tensor((), np.int64),
            "features": tensor((None, feature_width), np.dtype(feature_dtype).type),
            "has_proposal_scores": tensor((), np.int64),
        }
        | {name: tensor(shape, dtype) for name, (shape, dtype) in _ARRAY_FIELDS.items()}
    )


def to_example(record: VideoRecord, features: np.ndarray) -> dict:
    """The example that a builder yields for a video; features [T, D] already have the stored dtype."""
    arrays = {name: getattr(record, name) for name in _ARRAY_FIELDS}
    has_scores = record.proposal_scores is not None
    arrays["proposal_scores"] = record.proposal_scores if has_scores else np.zeros(0)
    return {
        "video_id": record.video_id,
        "group": record.group or record.video_id,
        "fps": np.asarray(record.fps, np.float64),
        "num_frames": np.asarray(record.num_frames, np.int64),
        "features": np.ascontiguousarray(features),
        "has_proposal_scores": np.asarray(has_scores, np.int64),
    } | {
        name: np.ascontiguousarray(arrays[name], dtype).reshape([-1 if n is None else n for n in shape])
        for name, (shape, dtype) in _ARRAY_FIELDS.items()
    }


def from_example(example: dict) -> tuple[VideoRecord, np.ndarray]:
    """The inverse of `to_example`, for an example as `builder.as_data_source` decodes it."""
    arrays = {name: example[name] for name in _ARRAY_FIELDS}
    if not example["has_proposal_scores"]:
        arrays["proposal_scores"] = None
    record = VideoRecord(
        video_id=example["video_id"].decode(),
        group=example["group"].decode(),
        num_frames=int(example["num_frames"]),
        fps=float(example["fps"]),
        **arrays,
    )
    return record, example["features"]


def inputs_key(inputs: dict) -> str:
    """A short digest of all that determines a dataset: settings (as JSON values) and digests of the files it reads."""
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()[:16]


@dataclass
class Contents:
    """What a build writes: the videos of every split, each made only when it is written.

    splits: {split: (number of videos, function that iterates over (VideoRecord, features [T, D]))}. If the features of
    a video cannot be used, they are None.
    """

    splits: dict[str, tuple[int, Callable[[], Iterable[tuple[VideoRecord, np.ndarray | None]]]]]


@dataclass(kw_only=True)
class VideoDatasetConfig(tfds.core.BuilderConfig):
    """What the builder and `video_source` need: width and stored dtype of the features, names of the classes.

    name: `inputs_key` of all inputs. So a changed input gives another folder, and with unchanged inputs the finished
    dataset is found.
    """

    feature_width: int
    feature_dtype: str
    class_names: tuple[str, ...]


class VideoDatasetBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Base of the project's builders; its `builder_config` is a VideoDatasetConfig.

    A subclass has `dataset_description` and `make_contents`. If there is more to report about a split than what was
    written, it also has `findings` and `notes`. TFDS writes into a folder `incomplete.*` and renames it at the end, so
    a killed build never looks finished.
    """

    VERSION = tfds.core.Version("1.0.0")
    dataset_description = ""
    dataset_citation = ""
    dataset_homepage = None
    notes: Sequence[str] = ()
    beam_runner: str | None = None  # set by `prepare`; a builder may ignore it

    def make_contents(self) -> Contents:
        raise NotImplementedError

    def findings(self, split: str) -> Findings:
        """What happened to the videos of a split before they were written."""
        return Findings()

    def report(self) -> dict:
        """The data report of the finished dataset (data_report.py), which is made once and kept in its folder."""
        path = Path(self.data_dir) / data_report.FILE_NAME
        if not path.exists():
            names = self.builder_config.class_names
            splits = {split: (self.findings(split), self._written(split)) for split in self.info.splits}
            data_report.write_report(path, data_report.make_report(self.name, names, splits, self.notes))
        return read_json(path)

    def _written(self, split: str) -> list[Written]:
        videos = self.as_data_source(split)
        progress = Progress(f"check {self.name} {split}", len(videos), after_seconds=2.0)
        written = []
        for position in range(len(videos)):
            record, features = from_example(videos[position])
            written.append(Written(record, len(features), hashlib.sha256(features).hexdigest()))
            progress.advance()
        return sorted(written, key=lambda video: video.record.video_id)

    def _info(self):
        config = self.builder_config
        return tfds.core.DatasetInfo(
            builder=self,
            description=self.dataset_description,
            citation=self.dataset_citation,
            homepage=self.dataset_homepage,
            features=example_spec(config.feature_width, config.feature_dtype),
            metadata=tfds.core.MetadataDict(class_names=list(config.class_names)),
        )

    def _split_generators(self, dl_manager):
        contents = self.make_contents()
        total = sum(count for count, _ in contents.splits.values())
        progress = Progress(f"prepare {self.name}", total)
        return {
            split: self._generate_examples(make_videos, progress) for split, (_, make_videos) in contents.splits.items()
        }

    def _generate_examples(self, make_videos, progress):
        for record, features in make_videos():
            if features is not None:
                yield record.video_id, to_example(record, features)
            progress.advance()
