"""What a segment retrieves from its video: the formula of L-Net and G-Net (paper sections 3.2 and 3.3), plainly.

    y      the query of the segment: the maximum over its snippets
    g      the representation of the video: the maximum over all its snippets
    L-Net  the query is y; the keys are the segment's snippets and g
    G-Net  the query is g; the keys are the segment's snippets and y
    relevance of a key k to a query q: relu(cos(q, k))
    context = sum of relevance times key / sum of relevance

To try another relevance, change `relevance`; to try another context, change `contexts`. The windows of
retrieval_windows.py run the same functions. The GPU kernel (retrieval_kernel.py) repeats the arithmetic, so after a
change use config.model.retrieval='plain' or 'windows'. Golden rules: tests/golden/README.md, `pooling.npz`.

Retrieval has no parameters, and its inputs are data, so nothing here is differentiated. The context is first retrieved
and then projected: (alpha K) W, never alpha (K W).
"""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from contextloc_jax.core.precision import accumulator, matmul
from contextloc_jax.localization.range_max import range_max

NORM_FLOOR = 1e-6  # as in torch's cosine similarity: a smaller norm counts as this


class Retrieved(NamedTuple):
    """What retrieval finds for N segments of one video, in accumulator(dtype).

    query    [N, D]  y: maximum over the segment's snippets
    local    [N, D]  c of L-Net: snippets and g, weighted by relevance to y
    adapted  [N, D]  c of G-Net: snippets and y, weighted by relevance to g
    video    [D]     g: maximum over the video's snippets
    """

    query: jax.Array
    local: jax.Array
    adapted: jax.Array
    video: jax.Array


class Keys(NamedTuple):
    """Snippets as keys: features [T, D], their norms [T] and their relevance to the video's representation [T]."""

    features: jax.Array
    norm: jax.Array
    to_video: jax.Array


def retrieve(features: jax.Array, num_snippets: jax.Array, segments: jax.Array, dtype="float32") -> Retrieved:
    """Queries, local contexts and adapted video representations of the segments of one video.

    Args:
      features: [T, D] snippet features; rows >= num_snippets are padding and change nothing.
      num_snippets: [] int, at least 1.
      segments: [N, 2] int, first and last snippet (inclusive). last <= first means the single snippet `first`. Then
        the only key is g (L-Net) or y (G-Net), weighted by relu(cos) without normalization.
      dtype: the type that matrix products read; they accumulate in float32.
    """
    keys, video = as_keys(features, num_snippets, dtype)
    first, last = segments[:, 0], jnp.maximum(segments[:, 0], segments[:, 1])
    query = range_max(keys.features, first, last)
    return Retrieved(query, *contexts(keys, first, last, query, video, dtype), video)


def as_keys(features: jax.Array, num_snippets: jax.Array, dtype) -> tuple[Keys, jax.Array]:
    """The snippets of a video as keys, and its representation g [D]. Padding is replaced by the last snippet."""
    rows = jnp.minimum(jnp.arange(len(features)), num_snippets - 1)
    features = features[rows].astype(accumulator(dtype))
    video, norms = jnp.max(features, axis=0), norm(features)
    return Keys(features, norms, relevance(matmul(features, unit(video), dtype) / norms)), video


def relevance(cosine: jax.Array) -> jax.Array:
    """How much a key counts for a query, from the cosine of the two: relu(cos), elementwise."""
    return nn.relu(cosine)


def contexts(
    keys: Keys, first: jax.Array, last: jax.Array, query: jax.Array, video: jax.Array, dtype
) -> tuple[jax.Array, jax.Array]:
    """Contexts of L-Net and G-Net [N, D] of segments first..last [N] of `keys`, with queries y [N, D] and g [D]."""
    several = last > first
    time = jnp.arange(len(keys.norm))
    inside = (time >= first[:, None]) & (time <= last[:, None]) & several[:, None]

    query_norm = norm(query)
    # The few queries stand on the right: a product packs its right side, and the snippets are many.
    to_query = relevance(matmul(keys.features, query.T, dtype).T / (keys.norm * query_norm[:, None]))
    extra = relevance((query @ video) / (query_norm * norm(video)))  # of the extra key: of g to y, and of y to g

    weights = jnp.where(inside, jnp.stack([to_query, jnp.broadcast_to(keys.to_video, to_query.shape)]), 0)
    local_sum, adapted_sum = matmul(weights.reshape(-1, len(time)), keys.features, dtype).reshape(2, *query.shape)
    local_total, adapted_total = jnp.sum(weights, axis=-1) + extra

    def weighted_mean(summed: jax.Array, total: jax.Array, extra_key: jax.Array) -> jax.Array:
        # All relevances are 0 only if the query is all zeros. The authors' code gives NaN there; here the context is 0.
        total = jnp.where(several & (total > 0), total, 1)  # a single snippet has only the extra key
        return (summed + extra[:, None] * extra_key) / total[:, None]

    return weighted_mean(local_sum, local_total, video), weighted_mean(adapted_sum, adapted_total, query)


def norm(vectors: jax.Array) -> jax.Array:
    """Norms along the last axis, but at least NORM_FLOOR."""
    return jnp.maximum(jnp.linalg.norm(vectors, axis=-1), NORM_FLOOR)


def unit(vectors: jax.Array) -> jax.Array:
    """Vectors divided by their `norm`."""
    return vectors / norm(vectors)[..., None]
