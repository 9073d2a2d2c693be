"""L-Net and G-Net: what a proposal retrieves from its own snippets and from the video, and its projection.

Paper sections 3.2 (L-Net) and 3.3 (G-Net); golden rules: README of tests/golden, `pooling.npz`.
Retrieval has no parameters and its inputs are data, so nothing here is differentiated upstream of a projection,
and the context is retrieved before it is projected: (alpha K) W, never alpha (K W).
"""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from contextloc_jax.initializers import uniform_by_width
from contextloc_jax.precision import accumulator, matmul

NORM_FLOOR = 1e-6  # torch's cosine similarity: norms below this count as this


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


def retrieve(features: jax.Array, num_snippets: jax.Array, segments: jax.Array, dtype="float32") -> Retrieved:
    """Queries, local contexts and adapted video representations of the segments of one video.

    Args:
      features: [T, D] snippet features; rows >= num_snippets are padding and change nothing.
      num_snippets: [] int, at least 1.
      segments: [N, 2] int, first and last snippet (inclusive). last <= first means the single snippet `first`,
        whose only key is g (L-Net) or y (G-Net), weighted by relu(cos) without normalisation.
      dtype: type the matrix products read; they accumulate in float32.
    """
    time = jnp.arange(features.shape[0])
    features = jnp.where(time[:, None] < num_snippets, features, 0).astype(accumulator(dtype))
    first, last = segments[:, 0], jnp.maximum(segments[:, 0], segments[:, 1])
    multiple = last > first
    video = jnp.max(jnp.where(time[:, None] < num_snippets, features, -jnp.inf), axis=0)
    query = range_max(features, first, last)

    keys, unit_query, unit_video = unit(features), unit(query), unit(video)
    inside = (time >= first[:, None]) & (time <= last[:, None]) & multiple[:, None]
    relevance_to_query = jnp.where(inside, nn.relu(matmul(unit_query, keys.T, dtype)), 0)
    relevance_to_video = jnp.where(inside, nn.relu(matmul(keys, unit_video, dtype)), 0)
    relevance_between = nn.relu(unit_query @ unit_video)[:, None]

    def weighted(weights, extra_key):
        """Relevance-weighted mean of the segment's snippets and one extra key."""
        total = jnp.sum(weights, axis=1, keepdims=True) + relevance_between
        # All relevances vanish only for an all-zero query, where the authors' code gives NaN; here: no context.
        total = jnp.where(multiple[:, None] & (total > 0), total, 1)
        return (matmul(weights, features, dtype) + relevance_between * extra_key) / total

    return Retrieved(query, weighted(relevance_to_query, video), weighted(relevance_to_video, query), video)


def range_max(values: jax.Array, first: jax.Array, last: jax.Array) -> jax.Array:
    """Maximum of rows first..last (inclusive) for N ranges: [T, D], [N], [N] -> [N, D].

    A sparse table: level k holds the maximum of every 2^k consecutive rows, and two overlapping entries cover
    any range, so memory is T log T and not N x T.
    """
    rows = values.shape[0]
    levels = [values]
    while 2 ** len(levels) <= rows:
        shift = 2 ** (len(levels) - 1)
        # Rows past the end repeat the last window; no range that fits the table reads them.
        levels.append(jnp.maximum(levels[-1], jnp.concatenate([levels[-1][shift:], levels[-1][-shift:]])))
    table = jnp.concatenate(levels)
    level = jnp.clip(31 - jax.lax.clz(last - first + 1), 0, len(levels) - 1)
    return jnp.maximum(table[level * rows + first], table[level * rows + last + 1 - (1 << level)])


def unit(vectors: jax.Array) -> jax.Array:
    """Vectors over their norm, which counts as at least 1e-6."""
    norm = jnp.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / jnp.maximum(norm, NORM_FLOOR)


class ContextProjection(nn.Module):
    """relu(query W_q + context W_c + b): the form both L-Net and G-Net share.

    Without a context (an ablation) the second term and its weights are absent.
    """

    width: int
    dtype: str = "float32"

    @nn.compact
    def __call__(self, query: jax.Array, context: jax.Array | None) -> jax.Array:
        """query and context [..., D], broadcast against each other -> [..., width]."""
        init, stored = uniform_by_width(self.width), accumulator(self.dtype)
        total = matmul(query, self.param("query", init, (query.shape[-1], self.width), stored), self.dtype)
        if context is not None:
            kernel = self.param("context", init, (context.shape[-1], self.width), stored)
            total += matmul(context, kernel, self.dtype)
        return nn.relu(total + self.param("bias", init, (self.width,), stored))
