"""Shapes of variables."""

import jax
import numpy as np

from contextloc_jax.core.structs import Batch
from contextloc_jax.localization.contextloc import ContextLoc


def smallest_batch(feature_width: int) -> Batch:
    """One video of one snippet and one proposal: the shapes of a model's variables depend on no more of a batch."""
    zeros = np.zeros
    return Batch(
        features=zeros((1, 1, feature_width), np.float32),
        num_snippets=np.ones(1, np.int32),
        segments=zeros((1, 1, 3, 2), np.int32),
        node_count=np.ones((1, 1), np.float32),
        first_hop=zeros((1, 1, 5), np.int32),
        second_hop=zeros((1, 1, 5), np.int32),
        center_mask=np.ones((1, 1), bool),
        example_key=zeros(1, np.uint32),
        targets=None,
    )


def variable_shapes(model: ContextLoc, feature_width: int) -> dict:
    """Shapes of the model's params and batch_stats for snippet features of this width; computes nothing."""
    return jax.eval_shape(lambda: model.init(jax.random.key(0), smallest_batch(feature_width)))
