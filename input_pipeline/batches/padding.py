"""Padded batches: an empty batch is all padding; then its rows are filled."""

import numpy as np

from contextloc_jax.core.structs import Batch, Targets
from contextloc_jax.localization.tree import CHILDREN
from input_pipeline.datasets.video_source import VideoSource


def empty_batch(
    source: VideoSource, videos: int, num_snippets: int, num_nodes: int, num_rows: int, num_centers: int
) -> Batch:
    """A Batch [V = videos, T = num_snippets, M = num_nodes, R = num_rows, C = num_centers] that is all padding.

    The parts that are not filled later stay marked as padding: num_snippets 1, node_count 0 and center_mask False.
    """
    return Batch(
        features=np.zeros((videos, num_snippets, source.feature_width), source.feature_dtype),
        num_snippets=np.ones(videos, np.int32),
        segments=np.zeros((videos, num_nodes, 3, 2), np.int32),
        node_count=np.zeros((videos, num_nodes), np.float32),
        first_hop=np.zeros((videos, num_rows, 1 + CHILDREN), np.int32),
        second_hop=np.zeros((videos, num_centers, 1 + CHILDREN), np.int32),
        center_mask=np.zeros((videos, num_centers), bool),
        example_key=np.zeros(videos, np.uint32),
        targets=None,
    )


def empty_targets(videos: int, num_centers: int, totals: np.ndarray) -> Targets:
    """Targets [V = videos, C = num_centers] to fill; totals [2] int32 are the same in every row."""
    return Targets(
        center_type=np.zeros((videos, num_centers), np.int32),
        label=np.zeros((videos, num_centers), np.int32),
        regression=np.zeros((videos, num_centers, 2), np.float32),
        totals=np.tile(totals, (videos, 1)),
    )


def fill_features(batch: Batch, row: int, features: np.ndarray) -> None:
    """Writes the features [T, D] of one video into its row of the batch."""
    batch.features[row, : len(features)] = features
    batch.num_snippets[row] = len(features)
