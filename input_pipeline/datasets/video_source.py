"""Random access to the videos of a prepared split: records in memory, features by index."""

import hashlib
import threading
from collections.abc import Callable, Sequence
from dataclasses import fields

import numpy as np

from contextloc_jax.core.errors import InputError
from contextloc_jax.core.ranges import below, check_range
from contextloc_jax.core.structs import GroundTruth
from input_pipeline.videos.records import VideoRecord

VALIDATION_FRACTION = below(0, 1)


class VideoSource:
    """V videos: `records` [V], `num_snippets` [V] int64, `class_names` [K], and `features(index)`.

    Videos are in the order of their ids, for any sharding of the files. `identity` is a SHA-256 (hex) over all records
    and features, so equal identities mean equal data. Several threads may call it at once.
    """

    def __init__(
        self,
        records: Sequence[VideoRecord],
        class_names: Sequence[str],
        *,
        num_snippets: Sequence[int],
        digests: Sequence[str],
        feature_width: int,
        feature_dtype,
        read_features: Callable[[int], np.ndarray],
    ):
        self.records = list(records)
        self.class_names = list(class_names)
        self.num_snippets = np.asarray(num_snippets, np.int64)
        self.feature_width = feature_width
        self.feature_dtype = np.dtype(feature_dtype)
        self._digests = list(digests)
        self._read_features = read_features

    def __len__(self) -> int:
        return len(self.records)

    @property
    def identity(self) -> str:
        """SHA-256 (hex) over the class names and the digests of all videos, in their order."""
        text = "\n".join(["classes", *self.class_names, "videos", *self._digests])
        return hashlib.sha256(text.encode()).hexdigest()

    def features(self, index: int) -> np.ndarray:
        """Snippet features [T, D] in the stored dtype, read-only."""
        return self._read_features(index)

    def select(self, indices: Sequence[int]) -> "VideoSource":
        """A source of only these videos. It shares the cache of this one."""
        indices = [int(i) for i in indices]
        return VideoSource(
            [self.records[i] for i in indices],
            self.class_names,
            num_snippets=self.num_snippets[indices],
            digests=[self._digests[i] for i in indices],
            feature_width=self.feature_width,
            feature_dtype=self.feature_dtype,
            read_features=lambda i: self._read_features(indices[i]),
        )


def open_split(builder, split: str, *, cache_bytes: int) -> VideoSource:
    """The source of one split of a prepared TFDS builder (`datasets.prepare`). Reads every video once.

    Features stay in memory until `cache_bytes` are full; the others are read again each time.
    """
    from input_pipeline.datasets.builder import from_example

    data = builder.as_data_source(split)
    cache = FeatureCache(lambda position: from_example(data[position])[1], cache_bytes)
    videos = []  # (video id, position in the files, record, number of snippets, digest)
    for position in range(len(data)):
        record, features = from_example(data[position])
        videos.append((record.video_id, position, record, len(features), digest(record, features)))
        cache.offer(position, features)
    videos.sort(key=lambda video: video[0])
    positions = [video[1] for video in videos]
    config = builder.builder_config
    return VideoSource(
        [video[2] for video in videos],
        config.class_names,
        num_snippets=[video[3] for video in videos],
        digests=[video[4] for video in videos],
        feature_width=config.feature_width,
        feature_dtype=config.feature_dtype,
        read_features=lambda index: cache.get(positions[index]),
    )


def source_from_arrays(
    records: Sequence[VideoRecord], features: Sequence[np.ndarray], class_names: Sequence[str]
) -> VideoSource:
    """A source of arrays in memory: features [T, D] of every record, all of one dtype and width."""
    return VideoSource(
        records,
        class_names,
        num_snippets=[len(f) for f in features],
        digests=[digest(r, f) for r, f in zip(records, features, strict=True)],
        feature_width=features[0].shape[1],
        feature_dtype=features[0].dtype,
        read_features=lambda index: features[index],
    )


def split_validation(source: VideoSource, fraction: float) -> tuple[VideoSource, VideoSource | None]:
    """(training source, validation source): whole groups are held out, chosen by the digest of their name.

    round(fraction * groups) groups are held out, at least one; if fraction is 0, none, and the second source is None.
    InputError: the fraction is not in [0, 1), or it leaves no video to train on.
    """
    check_range("config.data.validation_fraction", fraction, VALIDATION_FRACTION)
    if fraction == 0:
        return source, None
    group_of = [record.group or record.video_id for record in source.records]
    groups = sorted(set(group_of), key=lambda group: hashlib.sha256(group.encode()).digest())
    held_out = set(groups[: max(1, round(fraction * len(groups)))])
    if len(held_out) == len(groups):
        raise InputError(
            f"config.data.validation_fraction {fraction} of {len(groups)} groups leaves no video to train on; lower it "
            "or set 0"
        )
    kept = [i for i, group in enumerate(group_of) if group not in held_out]
    held = [i for i, group in enumerate(group_of) if group in held_out]
    return source.select(kept), source.select(held)


class FeatureCache:
    """Keeps arrays by key until `budget_bytes` are full. It never removes one: visits come in random order, so another
    array would not be a better choice."""

    def __init__(self, read: Callable[[int], np.ndarray], budget_bytes: int):
        self._read = read
        self._free_bytes = budget_bytes
        self._arrays: dict[int, np.ndarray] = {}
        self._lock = threading.Lock()

    def get(self, key: int) -> np.ndarray:
        array = self._arrays.get(key)
        if array is None:
            array = self._read(key)
            self.offer(key, array)
        return array

    def offer(self, key: int, array: np.ndarray) -> None:
        with self._lock:
            if key not in self._arrays and array.nbytes <= self._free_bytes:
                self._free_bytes -= array.nbytes
                self._arrays[key] = array


def digest(record: VideoRecord, features: np.ndarray) -> str:
    """SHA-256 (hex) of one video: every field of the record, and bytes, shape and dtype of the features."""
    state = hashlib.sha256()
    for field in fields(record):
        value = getattr(record, field.name)
        if isinstance(value, np.ndarray):
            _update(state, field.name, value)
        else:
            state.update(f"{field.name}={value!r};".encode())
    _update(state, "features", features)
    return state.hexdigest()


def _update(state, name: str, array: np.ndarray) -> None:
    state.update(f"{name}:{array.dtype.str}{array.shape};".encode())
    state.update(np.ascontiguousarray(array))


def ground_truth(source: VideoSource) -> GroundTruth:
    """The annotated instances of a source, in seconds."""
    records = source.records
    counts = [len(record.gt_labels) for record in records]
    return GroundTruth(
        video_ids=[record.video_id for record in records],
        duration_seconds=np.array([record.duration_seconds for record in records]),
        labels=list(source.class_names),
        video=np.repeat(np.arange(len(records)), counts),
        label=np.concatenate([record.gt_labels for record in records]).astype(np.int64) - 1,
        segments=np.concatenate([record.gt_segments.reshape(-1, 2) / record.fps for record in records]),
    )


def video_facts(source: VideoSource) -> Callable[[int], tuple[str, float, np.ndarray]]:
    """Index -> (video id, duration in seconds, proposals [N, 2] as fractions of the video)."""

    def facts(index: int):
        record = source.records[index]
        return record.video_id, record.duration_seconds, record.proposals / record.num_frames

    return facts
