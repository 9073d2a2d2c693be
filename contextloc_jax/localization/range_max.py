"""Maxima of ranges of rows: the query of a segment is the maximum over its snippets."""

from functools import reduce

import jax
import jax.numpy as jnp
import numpy as np

MAXIMA_BLOCK = 8  # snippets, a power of two


def range_max(values: jax.Array, first: jax.Array, last: jax.Array) -> jax.Array:
    """Maximum of rows first..last (inclusive) of every range: [T, D], [...], [...] -> [..., D].

    There are two sparse tables: maxima of rows, and maxima of blocks of rows. Two entries of the first table cover the
    first and the last rows of a range. Two entries of the second table cover the whole blocks between them. Entries may
    overlap. The memory is a few T x D, not N x T x D.
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
    """Level k holds the maxima of every 2^k consecutive rows. 2^k is at most `longest` and at most the number of
    rows."""
    levels = [values]
    while (span := 1 << len(levels)) <= min(longest, len(values)):
        levels.append(jnp.maximum(levels[-1][: -span // 2], levels[-1][span // 2 :]))
    return levels


def covering_entries(levels: list[jax.Array], first: jax.Array, last: jax.Array) -> jax.Array:
    """Two entries [2, ...] of the concatenated levels for every range: one begins with its first row, one ends with its
    last row. Both are of the highest level that fits into the range."""
    level = jnp.clip(31 - jax.lax.clz(last - first + 1), 0, len(levels) - 1)
    start = jnp.array(np.cumsum([0, *map(len, levels[:-1])]))[level]
    return jnp.stack([start + first, start + last + 1 - (1 << level)])
