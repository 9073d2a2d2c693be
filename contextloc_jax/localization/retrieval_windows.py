"""Retrieval on windows of snippets: the formula of retrieval.py for groups of neighboring segments, fast on a CPU.

Every group is multiplied with the smallest window of snippets that contains its segments, not with the whole video.
Weights outside a segment are zero, so the result is the same.
"""

from functools import partial

import jax
import jax.numpy as jnp

from contextloc_jax.localization.range_max import range_max
from contextloc_jax.localization.retrieval import Keys, Retrieved, as_keys, contexts, retrieve

WINDOWS = [size << power for power in range(24) for size in (64, 96)]  # snippets
GROUP_SPAN = 20  # snippets: a group has about as many segments as have their middles in such a span
GROUP_UNIT, SMALLEST_GROUP = 8, 16  # segments: matrix products work on blocks of 8 and 16 columns


def retrieve_by_windows(
    features: jax.Array, num_snippets: jax.Array, segments: jax.Array, dtype="float32"
) -> Retrieved:
    """The same as `retrieval.retrieve`. It calls that if the video is too short or has too few segments for windows."""
    group_size = segments_a_group(len(segments), len(features))
    if len(features) <= WINDOWS[0] or len(segments) <= group_size:
        return retrieve(features, num_snippets, segments, dtype)
    keys, video = as_keys(features, num_snippets, dtype)
    first, last = segments[:, 0], jnp.maximum(segments[:, 0], segments[:, 1])

    order = jnp.argsort(first + last)  # by their middles, which gives narrower windows than by their starts
    place = jnp.argsort(order)
    order = jnp.pad(order, (0, -len(order) % group_size), mode="edge").reshape(-1, group_size)
    first, last = first[order], last[order]
    query = range_max(keys.features, first, last)
    found = query, *by_windows(partial(contexts, video=video, dtype=dtype), keys, first, last, query)
    query, local, adapted = (grouped.reshape(-1, grouped.shape[-1])[place] for grouped in found)
    return Retrieved(query, local, adapted, video)


def segments_a_group(segments: int, snippets: int) -> int:
    """How many neighboring segments share a window, in a video with these numbers of segments and snippets."""
    return max(SMALLEST_GROUP, GROUP_UNIT * round(segments * GROUP_SPAN / snippets / GROUP_UNIT))


def by_windows(function, keys: Keys, first: jax.Array, last: jax.Array, query: jax.Array):
    """function(keys, first, last, query) of every group of neighboring segments, with only the snippets around it.

    first, last [G, n] and query [G, n, D] of G groups; the function returns a tree of arrays [n, ...], this one of
    [G, n, ...]. The window of a group is the smallest of WINDOWS that contains its segments: a power of two, or 1.5
    times one. So the work grows with N x window, not with N x T.
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
