"""L-Net and G-Net: what a proposal retrieves from its own snippets and from the video, and its projection.

Paper sections 3.2 (L-Net) and 3.3 (G-Net); golden rules: README of tests/golden, `pooling.npz`.
Retrieval has no parameters and its inputs are data, so nothing here is differentiated upstream of a projection,
and the context is retrieved before it is projected: (alpha K) W, never alpha (K W).
"""

from functools import reduce
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from contextloc_jax.initializers import uniform_by_width
from contextloc_jax.precision import accumulator, matmul, project

NORM_FLOOR = 1e-6  # torch's cosine similarity: norms below this count as this
WINDOWS = [size << power for power in range(24) for size in (64, 96)]  # snippets
GROUP_SPAN = 20  # snippets in which about as many segments start as share a window
SMALLEST_GROUP = 16  # segments
MAXIMA_BLOCK = 8  # snippets, a power of two


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


def retrieve_all(features: jax.Array, num_snippets: jax.Array, segments: jax.Array, dtype="float32") -> Retrieved:
    """`retrieve` of V videos: [V, T, D], [V], [V, N, 2] -> arrays with a leading V."""

    def one_by_one(*videos):  # what is read again and again stays in the processor's cache
        return jax.lax.map(lambda video: retrieve(*video, dtype, windowed=True), videos)

    def together(*videos):  # an accelerator is not busy with one video, and waits at every choice
        return jax.vmap(lambda *video: retrieve(*video, dtype, windowed=False))(*videos)

    return jax.lax.platform_dependent(features, num_snippets, segments, cpu=one_by_one, default=together)


def retrieve(
    features: jax.Array, num_snippets: jax.Array, segments: jax.Array, dtype="float32", windowed: bool = False
) -> Retrieved:
    """Queries, local contexts and adapted video representations of the segments of one video.

    Args:
      features: [T, D] snippet features; rows >= num_snippets are padding and change nothing.
      num_snippets: [] int, at least 1.
      segments: [N, 2] int, first and last snippet (inclusive). last <= first means the single snippet `first`,
        whose only key is g (L-Net) or y (G-Net), weighted by relu(cos) without normalisation.
      dtype: type the matrix products read; they accumulate in float32.
      windowed: multiply segments with the snippets around them (`by_windows`) instead of with all.
    """
    rows = jnp.minimum(jnp.arange(len(features)), num_snippets - 1)  # in place of padding the last snippet again
    features = features[rows].astype(accumulator(dtype))
    first, last = segments[:, 0], jnp.maximum(segments[:, 0], segments[:, 1])
    multiple = (last > first)[:, None]
    query = range_max(features, first, last)
    video = jnp.max(features, axis=0)
    unit_query, unit_video = unit(query), unit(video)
    norms = norm(features)
    to_video = nn.relu(matmul(features, unit_video, dtype)) / norms
    between = nn.relu(unit_query @ unit_video)[:, None]

    def weighted_sums(snippets, first, last, unit_query):
        """Of every segment's snippets, weighted by relevance to its query and to the video, and of the weights:
        [2, n, D], [2, n]."""
        features, norms, to_video = snippets
        time = jnp.arange(len(norms))
        inside = (time >= first[:, None]) & (time <= last[:, None]) & (last > first)[:, None]
        to_query = nn.relu(matmul(unit_query, features.T, dtype)) / norms
        weights = jnp.where(inside, jnp.stack([to_query, jnp.broadcast_to(to_video, to_query.shape)]), 0)
        sums = matmul(weights.reshape(-1, len(norms)), features, dtype)
        return sums.reshape(2, len(first), -1), jnp.sum(weights, axis=-1)

    evaluate = by_windows if windowed else lambda function, *arguments: function(*arguments)
    sums, totals = evaluate(weighted_sums, (features, norms, to_video), first, last, unit_query)

    def mean(which, extra_key):
        """With one extra key beside the segment's snippets; a single snippet has only that one."""
        total = totals[which][:, None] + between
        # All relevances vanish only for an all-zero query, where the authors' code gives NaN; here: no context.
        return (sums[which] + between * extra_key) / jnp.where(multiple & (total > 0), total, 1)

    return Retrieved(query, mean(0, video), mean(1, query), video)


def by_windows(function, snippets, first: jax.Array, last: jax.Array, queries: jax.Array):
    """function(snippets, first, last, queries), a group of neighbouring segments at a time on the snippets around it.

    snippets: a tree of [T, ...]; first, last [N] and queries [N, ...]; the function returns a tuple of [2, N, ...].
    A group's window is the smallest power of two, or 1.5 of one, that holds its segments, so the work grows with
    N x window instead of N x T.
    """
    rows, count = len(jax.tree.leaves(snippets)[0]), len(first)
    sizes = [size for size in WINDOWS if size < rows] + [rows]
    group_size = max(SMALLEST_GROUP, -(-count * GROUP_SPAN // rows))
    groups = -(-count // group_size)
    if len(sizes) == 1 or groups == 1:
        return function(snippets, first, last, queries)

    order = jnp.argsort(first + last)  # by their middles: windows are narrower than by their starts
    order = jnp.pad(order, (0, groups * group_size - count), mode="edge").reshape(groups, group_size)
    grouped_first, grouped_last = first[order], last[order]
    low, high = jnp.min(grouped_first, axis=1), jnp.max(grouped_last, axis=1)
    chosen = jnp.sum((high - low)[:, None] >= jnp.array(sizes[:-1]), axis=1)

    def on_window(size):
        def branch(low, first, last, queries):
            start = jnp.minimum(low, rows - size)
            window = jax.tree.map(lambda a: jax.lax.dynamic_slice_in_dim(a, start, size), snippets)
            return function(window, first - start, last - start, queries)

        return branch

    branches = [on_window(size) for size in sizes]
    found = jax.lax.map(
        lambda group: jax.lax.switch(group[0], branches, *group[1:]),
        (chosen, low, grouped_first, grouped_last, queries[order]),
    )
    place = jnp.argsort(order.reshape(-1)[:count])
    entry = place // group_size * 2 * group_size + place % group_size
    flat = jax.tree.map(lambda a: a.reshape(-1, *a.shape[3:]), found)
    return jax.tree.map(lambda a: (a[entry], a[entry + group_size]), flat)


def range_max(values: jax.Array, first: jax.Array, last: jax.Array) -> jax.Array:
    """Maximum of rows first..last (inclusive) for N ranges: [T, D], [N], [N] -> [N, D].

    Sparse tables of rows and of blocks: two overlapping entries of the first cover a range up to the whole blocks
    inside it, two of the second cover these. Memory is a few T x D and not N x T x D.
    """
    rows = doubled_maxima(values, MAXIMA_BLOCK)
    block = 1 << len(rows) - 1
    blocks = doubled_maxima(rows[-1][::block], len(values))
    table = jnp.concatenate(rows + blocks)
    first_block, last_block = -(-first // block), (last + 1) // block - 1
    ends = covering_entries(rows, first, last)
    inner = sum(map(len, rows)) + covering_entries(blocks, first_block, last_block)
    inner = jnp.where(last_block >= first_block, inner, ends)
    return reduce(jnp.maximum, [table[entry] for entry in (*ends, *inner)])


def doubled_maxima(values: jax.Array, longest: int) -> list[jax.Array]:
    """Level k: maxima of every 2^k consecutive rows, for 2^k up to `longest` and to the number of rows."""
    levels = [values]
    while (span := 1 << len(levels)) <= min(longest, len(values)):
        levels.append(jnp.maximum(levels[-1][: -span // 2], levels[-1][span // 2 :]))
    return levels


def covering_entries(levels: list[jax.Array], first: jax.Array, last: jax.Array) -> jax.Array:
    """The two entries [2, N] of the concatenated levels with the first and the last rows of every range, as many as
    the largest level has that fits into the range."""
    level = jnp.clip(31 - jax.lax.clz(last - first + 1), 0, len(levels) - 1)
    start = jnp.array(np.cumsum([0, *map(len, levels[:-1])]))[level]
    return jnp.stack([start + first, start + last + 1 - (1 << level)])


def norm(vectors: jax.Array) -> jax.Array:
    """Norms along the last axis, which count as at least 1e-6."""
    return jnp.maximum(jnp.linalg.norm(vectors, axis=-1), NORM_FLOOR)


def unit(vectors: jax.Array) -> jax.Array:
    """Vectors over their norm, which counts as at least 1e-6."""
    return vectors / norm(vectors)[..., None]


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
        total = project(query, self.param("query", init, (query.shape[-1], self.width), stored), self.dtype)
        if context is not None:
            kernel = self.param("context", init, (context.shape[-1], self.width), stored)
            total += project(context, kernel, self.dtype)
        return nn.relu(total + self.param("bias", init, (self.width,), stored))
