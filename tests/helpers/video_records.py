"""Small made videos for the tests of the pipeline."""

import numpy as np

from input_pipeline.datasets.video_source import VideoSource, open_split, source_from_arrays
from input_pipeline.videos.labels import label_proposals
from input_pipeline.videos.records import VideoRecord
from tests.helpers.published import CACHE_BYTES


def make_record(video_id: str, num_frames: int = 800, num_proposals: int = 60, num_instances: int = 3, **fields):
    """Random instances and proposals that hold all three types; a function of the arguments alone."""
    rng = np.random.default_rng([num_frames, num_proposals, num_instances, *video_id.encode()])
    gt_start = rng.integers(0, num_frames // 2, num_instances)
    gt_segments = np.stack([gt_start, gt_start + rng.integers(80, num_frames // 3, num_instances)], axis=1)
    gt_labels = rng.integers(1, 4, num_instances)
    start = rng.integers(0, num_frames - 60, num_proposals)
    proposals = np.stack([start, np.minimum(num_frames, start + rng.integers(20, 300, num_proposals))], axis=1)
    labels, tiou, overlap_self, coverage = label_proposals(proposals, gt_segments, gt_labels, num_frames)
    return VideoRecord(
        video_id=video_id, num_frames=num_frames, fps=30.0, gt_labels=gt_labels, gt_segments=gt_segments,
        proposals=proposals, proposal_labels=labels, proposal_tiou=tiou, proposal_overlap_self=overlap_self,
        proposal_coverage=coverage, **fields,
    )  # fmt: skip


def make_features(num_snippets: int, width: int = 4, dtype="float16") -> np.ndarray:
    """[T, width]: row t holds t + 1, so that rows can be told from each other and from padding."""
    return np.repeat(np.arange(1, num_snippets + 1, dtype=dtype)[:, None], width, axis=1)


def make_source(snippets=(90, 40, 70), num_proposals=(60, 30, 45), **fields) -> VideoSource:
    """Videos v0, v1, ... of these sizes."""
    records = [
        make_record(f"v{i}", num_frames=8 * t + 56, num_proposals=n, **fields)
        for i, (t, n) in enumerate(zip(snippets, num_proposals, strict=True))
    ]
    return source_from_arrays(records, [make_features(t) for t in snippets], ["a", "b", "c"])


def opened(builder, split: str) -> VideoSource:
    """The videos of a prepared split, kept in memory."""
    return open_split(builder, split, cache_bytes=CACHE_BYTES)
