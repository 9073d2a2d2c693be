"""Padded batches to fill."""

import numpy as np

from contextloc_jax.core.structs import Batch
from input_pipeline.datasets.video_source import VideoSource


def empty_batch(source: VideoSource, videos: int, num_snippets, num_nodes, num_rows, num_centers) -> Batch:
    """All padding: what is not filled is marked by num_snippets 1, node_count 0 and center_mask False."""
    return Batch(
        features=np.zeros((videos, num_snippets, source.feature_width), source.feature_dtype),
        num_snippets=np.ones(videos, np.int32),
        segments=np.zeros((videos, num_nodes, 3, 2), np.int32),
        node_count=np.zeros((videos, num_nodes), np.float32),
        first_hop=np.zeros((videos, num_rows, 5), np.int32),
        second_hop=np.zeros((videos, num_centers, 5), np.int32),
        center_mask=np.zeros((videos, num_centers), bool),
        example_key=np.zeros(videos, np.uint32),
        targets=None,
    )


def fill_features(batch: Batch, row: int, features: np.ndarray) -> None:
    batch.features[row, : len(features)] = features
    batch.num_snippets[row] = len(features)
