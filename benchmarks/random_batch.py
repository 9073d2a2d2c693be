"""Batches drawn with NumPy, so that the model can be measured wherever jax runs."""

import numpy as np

from benchmarks.useful_work import CENTER_TYPES, Size
from contextloc_jax.core.structs import Batch, Targets, count_centers
from contextloc_jax.localization.neighbors import tree_hops
from contextloc_jax.localization.tree import CHILDREN, TREE_NODES


def random_batch(size: Size, seed: int = 0) -> Batch:
    """A batch without repeated nodes. Actions have 4 to 112 snippets; their lengths are log-uniform."""
    random = np.random.default_rng(seed)
    shape = size.videos, size.nodes
    # Drawn in float32 and made positive in place, so that drawing does not set the peak memory of a case.
    features = random.standard_normal((size.videos, size.snippets, size.feature_width), np.float32)
    np.abs(features, out=features)
    longest = min(112, size.snippets // 2)
    length = np.exp(random.uniform(np.log(4), np.log(longest), shape)).astype(int)
    first = (random.uniform(size=shape) * (size.snippets - 1 - length)).astype(int)
    last, beside = first + length, length // 2
    pairs = [(np.maximum(first - beside, 0), first), (first, last), (last, last + beside)]
    segments = np.minimum(np.stack([np.stack(pair, -1) for pair in pairs], -2), size.snippets - 2).astype(np.int32)
    first_hop, second_hop = _training_trees(size.nodes) if size.training else _shared_table(random, size.nodes)
    centers = len(second_hop)
    return Batch(
        features=features,
        num_snippets=np.full(size.videos, size.snippets, np.int32),
        segments=segments,
        node_count=np.ones(shape, np.float32),
        first_hop=np.broadcast_to(first_hop, (size.videos, *first_hop.shape)),
        second_hop=np.broadcast_to(second_hop, (size.videos, *second_hop.shape)),
        center_mask=np.ones((size.videos, centers), bool),
        example_key=np.arange(size.videos, dtype=np.uint32),
        targets=_random_targets(random, size) if size.training else None,
    )


def _training_trees(nodes: int) -> tuple[np.ndarray, np.ndarray]:
    """Trees of 21 nodes side by side: first hops [5 trees, 5], second hops [trees, 5]."""
    return tree_hops(np.arange(nodes // TREE_NODES * TREE_NODES).reshape(-1, TREE_NODES))


def _shared_table(random: np.random.Generator, nodes: int) -> tuple[np.ndarray, np.ndarray]:
    """Every node with 4 others: the one table that both hops of an evaluation read."""
    table = np.concatenate([np.arange(nodes)[:, None], random.integers(nodes, size=(nodes, CHILDREN))], axis=1)
    return table.astype(np.int32), table.astype(np.int32)


def _random_targets(random: np.random.Generator, size: Size) -> Targets:
    """One foreground, six incomplete and one background center in every video."""
    shape = size.videos, len(CENTER_TYPES)
    center_type = np.broadcast_to(np.array(CENTER_TYPES, np.int32), shape)
    label = np.where(center_type == 2, 0, random.integers(1, size.classes + 1, shape)).astype(np.int32)
    regression = random.standard_normal((*shape, 2), np.float32)
    return Targets(center_type, label, regression, np.tile(count_centers(center_type), (size.videos, 1)))
