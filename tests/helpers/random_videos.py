"""Small random videos, the padded batches that hold them, and random variables of a model."""

import jax
import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

from contextloc_jax.core.structs import BACKGROUND, FOREGROUND, INCOMPLETE, Batch, Targets, count_centers
from contextloc_jax.localization.neighbors import tree_hops
from tests.helpers.reference_model import Video

WIDTH, CENTERS, CLASSES = 6, 4, 3
SNIPPETS, NODES = 8, 6  # of a padded batch
FLAVOURS = ("signed", "rectified", "repeated", "blank")

# The same examples in every run.
properties = settings(max_examples=20, deadline=None, derandomize=True, database=None)


def random_segments(rng, count: int, num_snippets: int) -> np.ndarray:
    """[count, 3, 2] int32; half of the segments are single snippets, some with a negative last."""
    first = rng.integers(0, num_snippets, (count, 3))
    last = np.minimum(num_snippets - 2, first + rng.integers(-num_snippets - 2, num_snippets + 3, (count, 3)))
    return np.stack([first, last], axis=-1).astype(np.int32)


def random_features(rng, num_snippets: int, flavour: str) -> np.ndarray:
    """[T, WIDTH] float32: of both signs; or rectified as I3D's; or with equal snippets; or with all-zero ones."""
    features = rng.standard_normal((num_snippets, WIDTH)).astype(np.float32)
    if flavour == "signed":
        return features
    features = np.maximum(features, 0)
    if flavour == "repeated":
        features[1::2] = features[0]
    if flavour == "blank":
        features[rng.random(num_snippets) < 0.6] = 0
    return features


@st.composite
def videos(draw, flavours=FLAVOURS, most_snippets=SNIPPETS):
    """A Video with up to SNIPPETS snippets and NODES nodes, and CENTERS trees over them."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    num_snippets = draw(st.sampled_from(range(1, most_snippets + 1)))
    num_nodes = draw(st.sampled_from(range(1, NODES + 1)))
    return Video(
        features=random_features(rng, num_snippets, draw(st.sampled_from(flavours))),
        segments=random_segments(rng, num_nodes, num_snippets),
        counts=rng.integers(1, 4, num_nodes).astype(np.float32),
        trees=rng.integers(0, num_nodes, (CENTERS, 21)).astype(np.int32),
    )


def padded_batch(
    videos, num_snippets=SNIPPETS, num_nodes=NODES, num_centers=CENTERS, targets=None, garbage=None, dtype=np.float32
) -> Batch:
    """The videos in one Batch; what is padding holds zeros, or draws of the generator `garbage`."""
    count = len(videos)

    def fill(shape, highest, kind):
        if garbage is None:
            return np.zeros(shape, kind)
        return garbage.integers(0, highest, shape).astype(kind)

    batch = Batch(
        features=fill((count, num_snippets, WIDTH), 1000, dtype),
        num_snippets=np.array([len(video.features) for video in videos], np.int32),
        segments=fill((count, num_nodes, 3, 2), num_snippets, np.int32),
        node_count=np.zeros((count, num_nodes), dtype),
        first_hop=fill((count, 5 * num_centers, 5), num_nodes, np.int32),
        second_hop=fill((count, num_centers, 5), 5 * num_centers, np.int32),
        center_mask=np.zeros((count, num_centers), bool),
        example_key=np.arange(count, dtype=np.uint32),
        targets=targets,
    )
    if garbage is not None:
        batch.features[garbage.random(batch.features.shape) < 0.3] = np.nan
    for row, video in enumerate(videos):
        first_hop, second_hop = tree_hops(video.trees)
        batch.features[row, : len(video.features)] = video.features
        for padded, values in (
            (batch.segments, video.segments),
            (batch.node_count, video.counts),
            (batch.first_hop, first_hop),
            (batch.second_hop, second_hop),
            (batch.center_mask, np.ones(len(video.trees), bool)),
        ):
            padded[row, : len(values)] = values
    return batch


def random_targets(rng, count: int) -> Targets:
    """Targets [V, CENTERS] of `count` videos: foreground, incompletes, background in its slot."""
    kind = np.full((count, CENTERS), INCOMPLETE, np.int32)
    kind[:, 0], kind[:, -1] = FOREGROUND, BACKGROUND
    label = rng.integers(1, CLASSES + 1, (count, CENTERS)).astype(np.int32)
    totals = np.tile(count_centers(kind), (count, 1))
    return Targets(kind, np.where(kind == BACKGROUND, 0, label), rng.standard_normal((count, CENTERS, 2)), totals)


def random_variables(model, batch: Batch, seed=0) -> dict:
    """Variables of the model with every leaf drawn anew, large enough to matter; variances are positive."""
    rng = np.random.default_rng(seed)
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), batch))

    def draw(path, leaf):
        values = rng.standard_normal(leaf.shape) * 0.5
        return (np.abs(values) + 0.3 if path[-1].key == "var" else values).astype(leaf.dtype)

    return jax.tree_util.tree_map_with_path(draw, shapes)


def largest_difference(ours, expected) -> float:
    """Largest absolute difference over the largest absolute expected entry of its array; nan where either has one."""
    ours, expected = jax.tree.leaves(ours), jax.tree.leaves(expected)
    assert [np.shape(a) for a in ours] == [np.shape(b) for b in expected]
    pairs = [(np.asarray(a, np.float64), np.asarray(b, np.float64)) for a, b in zip(ours, expected, strict=True)]
    return np.max([np.max(np.abs(a - b)) / max(np.max(np.abs(b)), 1e-12) for a, b in pairs], initial=0)
