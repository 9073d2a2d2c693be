"""L-Net and G-Net: what a proposal retrieves from its own snippets and from the video, and its projection.

Paper sections 3.2 (L-Net) and 3.3 (G-Net); golden rules: README of tests/golden, `pooling.npz`.
Retrieval has no parameters and its inputs are data, so nothing here is differentiated upstream of a projection,
and the context is retrieved before it is projected: (alpha K) W, never alpha (K W).
"""

from functools import partial
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from contextloc_jax.core.precision import accumulator, matmul, project
from contextloc_jax.localization.initializers import uniform_by_width
from contextloc_jax.localization.range_max import range_max

NORM_FLOOR = 1e-6  # torch's cosine similarity: norms below this count as this
WINDOWS = [size << power for power in range(24) for size in (64, 96)]  # snippets
GROUP_SPAN = 20  # snippets in which about as many segments have their middle as share a window
GROUP_UNIT, SMALLEST_GROUP = 8, 16  # segments; products are made of blocks of 8 and 16 columns
OLDEST_CAPABILITY = 8.0  # of an NVIDIA GPU that kernels are compiled for


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

    kernel = {"cuda": partial(retrieve_in_kernel, dtype=dtype)} if kernels_compile() else {}
    return jax.lax.platform_dependent(features, num_snippets, segments, cpu=one_by_one, default=together, **kernel)


def kernels_compile() -> bool:
    """Whether this process's devices are NVIDIA GPUs of the generation of the A100 (Ampere) or later."""
    capability = str(getattr(jax.local_devices()[0], "compute_capability", ""))  # '9.0'; of AMD's 'gfx942'
    return capability[:1].isdigit() and float(capability) >= OLDEST_CAPABILITY


def retrieve_in_kernel(
    features: jax.Array, num_snippets: jax.Array, segments: jax.Array, dtype="float32", interpret: bool = False
) -> Retrieved:
    """`retrieve_all` as a GPU kernel: of `dtype` only accumulator(dtype) counts, in which everything is computed.

    Padded segments are clipped to the video. interpret: run the kernel as jnp, on a CPU.
    """
    from contextloc_jax.localization.retrieval_kernel import retrieve_segments

    kind, rows = accumulator(dtype), jnp.arange(features.shape[1])
    valid = rows < num_snippets[:, None]
    kept = jnp.where(valid[..., None], features, 0).astype(kind)
    video = jnp.max(jnp.where(valid[..., None], kept, -jnp.inf), axis=1)
    norms = norm(kept)
    to_video = nn.relu(jnp.sum(kept * unit(video)[:, None], axis=-1)) / norms
    first, last = jnp.moveaxis(jnp.clip(segments, 0, num_snippets[:, None, None] - 1), -1, 0)
    found = retrieve_segments(features, norms, to_video, video, first, last, NORM_FLOOR, interpret)
    return Retrieved(*found, video)


def retrieve(
    features: jax.Array, num_snippets: jax.Array, segments: jax.Array, dtype="float32", windowed: bool = False
) -> Retrieved:
    """Queries, local contexts and adapted video representations of the segments of one video.

    Args:
      features: [T, D] snippet features; rows >= num_snippets are padding and change nothing.
      num_snippets: [] int, at least 1.
      segments: [N, 2] int, first and last snippet (inclusive). last <= first means the single snippet `first`,
        whose only key is g (L-Net) or y (G-Net), weighted by relu(cos) without normalization.
      dtype: type the matrix products read; they accumulate in float32.
      windowed: multiply segments with the snippets around them (`by_windows`) instead of with all.
    """
    rows = jnp.minimum(jnp.arange(len(features)), num_snippets - 1)  # in place of padding the last snippet again
    features = features[rows].astype(accumulator(dtype))
    video = jnp.max(features, axis=0)
    norms = norm(features)
    keys = Keys(features, norms, nn.relu(matmul(features, unit(video), dtype)) / norms)
    contexts = partial(weighted_keys, video=video, dtype=dtype)

    first, last = segments[:, 0], jnp.maximum(segments[:, 0], segments[:, 1])
    group_size = segments_a_group(len(segments), len(features))
    if not windowed or len(features) <= WINDOWS[0] or len(segments) <= group_size:
        query = range_max(features, first, last)
        return Retrieved(query, *contexts(keys, first, last, query), video)

    order = jnp.argsort(first + last)  # by their middles: windows are narrower than by their starts
    place = jnp.argsort(order)
    order = jnp.pad(order, (0, -len(order) % group_size), mode="edge").reshape(-1, group_size)
    first, last = first[order], last[order]
    query = range_max(features, first, last)
    found = query, *by_windows(contexts, keys, first, last, query)
    query, local, adapted = (grouped.reshape(-1, grouped.shape[-1])[place] for grouped in found)
    return Retrieved(query, local, adapted, video)


class Keys(NamedTuple):
    """Snippets as keys: features [T, D], their norms [T] and relevance to the video's representation [T]."""

    features: jax.Array
    norm: jax.Array
    to_video: jax.Array


def weighted_keys(
    keys: Keys, first: jax.Array, last: jax.Array, query: jax.Array, *, video: jax.Array, dtype
) -> tuple[jax.Array, jax.Array]:
    """Contexts of L-Net and G-Net [N, D] of segments first..last [N] of `keys`, with queries [N, D] and g [D].

    Each is the mean of the segment's snippets and one extra key (g, y), weighted by relevance to y and to g.
    """
    time, multiple = jnp.arange(len(keys.norm)), last > first
    inside = (time >= first[:, None]) & (time <= last[:, None]) & multiple[:, None]
    query_norm = norm(query)
    # Few queries on the right: a product packs its right side, and the snippets would be packed for every group anew.
    to_query = nn.relu(matmul(keys.features, query.T, dtype)).T / (keys.norm * query_norm[:, None])
    weights = jnp.where(inside, jnp.stack([to_query, jnp.broadcast_to(keys.to_video, to_query.shape)]), 0)
    sums = matmul(weights.reshape(-1, len(time)), keys.features, dtype).reshape(2, *query.shape)
    between = nn.relu(query @ video) / (query_norm * norm(video))
    totals = jnp.sum(weights, axis=-1) + between

    def mean(which, extra_key):
        # All relevances vanish only for an all-zero query, where the authors' code gives NaN; here: no context.
        total = jnp.where(multiple & (totals[which] > 0), totals[which], 1)  # a single snippet's key is the extra one
        return (sums[which] + between[:, None] * extra_key) / total[:, None]

    return mean(0, video), mean(1, query)


def segments_a_group(segments: int, snippets: int) -> int:
    """How many neighboring segments share a window in a video of so many segments and snippets."""
    return max(SMALLEST_GROUP, GROUP_UNIT * round(segments * GROUP_SPAN / snippets / GROUP_UNIT))


def by_windows(function, keys: Keys, first: jax.Array, last: jax.Array, query: jax.Array):
    """function(keys, first, last, query) of every group of neighboring segments, on the snippets around it.

    first, last [G, n] and query [G, n, D] of G groups; the function returns a tree of [n, ...].
    A group's window is the smallest power of two, or 1.5 of one, that holds its segments, so the work grows with
    N x window instead of N x T.
    """
    snippets = len(keys.norm)
    sizes = [size for size in WINDOWS if size < snippets] + [snippets]
    low, high = jnp.min(first, axis=1), jnp.max(last, axis=1)
    chosen = jnp.sum((high - low)[:, None] >= jnp.array(sizes[:-1]), axis=1)

    def on_window(size):
        def branch(low, first, last, query):
            start = jnp.minimum(low, snippets - size)
            window = jax.tree.map(lambda a: jax.lax.dynamic_slice_in_dim(a, start, size), keys)
            return function(window, first - start, last - start, query)

        return branch

    branches = [on_window(size) for size in sizes]
    return jax.lax.map(lambda group: jax.lax.switch(group[0], branches, *group[1:]), (chosen, low, first, last, query))


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
