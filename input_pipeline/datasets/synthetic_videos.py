"""Generated videos of any size: features that show which class is where, and proposals near and beside instances."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from contextloc_jax.core.errors import InputError
from contextloc_jax.core.keyed_draws import video_key
from contextloc_jax.core.ranges import Range, at_least, check_ranges
from input_pipeline.videos.labels import label_proposals
from input_pipeline.videos.records import FEATURE_DTYPE, VideoRecord

FPS = 30.0
STRIDE, LENGTH = 8, 64  # frames, of a snippet
_INSTANCE_SNIPPETS = (6, 40)  # shortest and longest instance, about 3 to 12 seconds
_FIRST_SNIPPETS = 20  # the first instance starts before this one


@dataclass(frozen=True)
class Sizes:
    """The sizes of the dataset. A video has from shortest_snippets to longest_snippets snippets; the number is drawn.

    The keys of RANGES are the fields, as keys of config.data. InputError: a size is below what a video needs.
    """

    train_videos: int
    test_videos: int
    num_classes: int
    feature_width: int
    shortest_snippets: int
    longest_snippets: int
    num_proposals: int
    feature_dtype: str

    RANGES: ClassVar[Mapping[str, Range]] = {
        "num_classes": at_least(1),
        "feature_dtype": FEATURE_DTYPE,
        "synthetic.train_videos": at_least(1),
        "synthetic.test_videos": at_least(1),
        "synthetic.feature_width": at_least(1),
        "synthetic.shortest_snippets": at_least(_FIRST_SNIPPETS + _INSTANCE_SNIPPETS[0]),  # room for an instance
        "synthetic.longest_snippets": at_least(1),
        "synthetic.num_proposals": at_least(1),
    }

    def __post_init__(self):
        values = {key: getattr(self, key.removeprefix("synthetic.")) for key in self.RANGES}
        check_ranges("config.data.", values, self.RANGES)
        if self.longest_snippets < self.shortest_snippets:
            raise InputError(
                f"config.data.synthetic.longest_snippets is {self.longest_snippets}; expected at least "
                f"shortest_snippets, {self.shortest_snippets}"
            )


def make_video(video_id: str, sizes: Sizes, seed: int) -> tuple[VideoRecord, np.ndarray]:
    """(record, features [T, D]); they depend only on the arguments.

    Features are |normal| noise. During an instance, the direction of its class is added, the same in all videos.
    """
    rng = np.random.default_rng([seed, video_key(video_id)])
    num_snippets = int(rng.integers(sizes.shortest_snippets, sizes.longest_snippets + 1))
    spans, labels = _instances(rng, num_snippets, sizes.num_classes)
    directions = np.abs(np.random.default_rng(seed).standard_normal((sizes.num_classes, sizes.feature_width), "f4"))
    features = np.abs(rng.standard_normal((num_snippets, sizes.feature_width), "f4"))
    for (first, last), label in zip(spans, labels, strict=True):
        features[first:last] += 0.5 * directions[label - 1]
    num_frames = (num_snippets - 1) * STRIDE + LENGTH
    gt_segments = spans * STRIDE + LENGTH // 2
    proposals = _proposals(rng, gt_segments, num_frames, sizes.num_proposals)
    labeled = label_proposals(proposals, gt_segments, labels, num_frames)
    record = VideoRecord(video_id, num_frames, FPS, labels, gt_segments, proposals, *labeled, group=video_id)
    return record, features.astype(sizes.feature_dtype)


def video_ids(split: str, count: int) -> list[str]:
    """['synthetic_train_0000', ...]"""
    return [f"synthetic_{split}_{number:04d}" for number in range(count)]


def _instances(rng, num_snippets: int, num_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Disjoint spans [G, 2] of snippets with gaps between them, and class indices [G] of two classes per video."""
    spans, first = [], int(rng.integers(1, _FIRST_SNIPPETS))
    shortest, longest = _INSTANCE_SNIPPETS
    while first + shortest < num_snippets:
        last = min(first + int(rng.integers(shortest, longest)), num_snippets - 1)
        spans.append((first, last))
        first = last + int(rng.integers(shortest, 2 * longest))
    classes = rng.choice(num_classes, min(2, num_classes), replace=False) + 1
    return np.array(spans, np.int64).reshape(-1, 2), rng.choice(classes, len(spans)).astype(np.int64)


def _proposals(rng, gt_segments: np.ndarray, num_frames: int, count: int) -> np.ndarray:
    """[count, 2] frames: half anywhere, half near an instance; in any order."""
    near = gt_segments[rng.integers(len(gt_segments), size=count // 2)]
    near = near + rng.normal(0, 0.15, near.shape) * (near[:, 1:] - near[:, :1])
    start = rng.uniform(0, num_frames - 32, count - len(near))
    far = np.stack([start, start + rng.uniform(32, 400, len(start))], axis=1)
    segments = np.clip(np.rint(np.concatenate([near, far])), 0, num_frames).astype(np.int64)
    segments[:, 1] = np.maximum(segments[:, 1], segments[:, 0] + 1)
    return rng.permutation(segments)
