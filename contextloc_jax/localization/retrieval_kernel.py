"""Retrieval as one GPU kernel, in which every segment reads only its own snippets.

The arithmetic is that of retrieval.py. But retrieval.py multiplies every segment with all snippets of its video, though
it needs only a tenth of them, and writes relevances and tables of maxima to memory. Measured: docs/performance.md.
"""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton

from contextloc_jax.core.precision import accumulator
from contextloc_jax.localization.retrieval import NORM_FLOOR, Retrieved, norm, unit

ROWS = 4  # snippets read at a time, a power of two
VALUES_A_WARP = 256  # how many values of a snippet's features one warp handles


def retrieve_in_kernel(
    features: jax.Array, num_snippets: jax.Array, segments: jax.Array, dtype="float32", interpret: bool = False
) -> Retrieved:
    """`retrieval.retrieve` of V videos: [V, T, D], [V], [V, N, 2] -> arrays with a first axis V.

    Everything is computed in accumulator(dtype). Padded segments are clipped to the video. interpret: run the kernel
    as jnp code, for tests on a CPU.
    """
    kind, rows = accumulator(dtype), jnp.arange(features.shape[1])
    valid = rows < num_snippets[:, None]
    kept = jnp.where(valid[..., None], features, 0).astype(kind)
    video = jnp.max(jnp.where(valid[..., None], kept, -jnp.inf), axis=1)
    norms = norm(kept)
    to_video = nn.relu(jnp.sum(kept * unit(video)[:, None], axis=-1)) / norms
    first, last = jnp.moveaxis(jnp.clip(segments, 0, num_snippets[:, None, None] - 1), -1, 0)
    found = retrieve_segments(features, norms, to_video, video, first, last, interpret)
    return Retrieved(*found, video)


def retrieve_segments(
    features: jax.Array,
    norm: jax.Array,
    to_video: jax.Array,
    video: jax.Array,
    first: jax.Array,
    last: jax.Array,
    interpret: bool = False,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Queries, local contexts and adapted video representations, each [V, N, D] in the type of `video`.

    Args:
      features: [V, T, D], read in their own type and converted to the type of `video`.
      norm, to_video: [V, T] norms of the snippets and their relevance to the video's representation `video` [V, D].
      first, last: [V, N] int32 first and last snippet (inclusive) of every segment; last <= first means the single
        snippet `first`. All are in 0..T - 1.
      interpret: run as jnp code, for tests on a CPU.
    """
    videos, snippets, width = features.shape
    segments = first.shape[1]

    def of_video(*shape):
        return pl.BlockSpec((None, *shape), lambda program: (program // segments, *[0] * len(shape)))

    segment = pl.BlockSpec((None, None), lambda program: (program // segments, program % segments))
    row = pl.BlockSpec((None, None, width), lambda program: (program // segments, program % segments, 0))
    out = jax.ShapeDtypeStruct(
        (videos, segments, width), video.dtype, manual_axis_type=jax.typeof(features).manual_axis_type
    )
    padded_width = pl.next_power_of_2(width)
    return pl.pallas_call(
        partial(_of_one_segment, padded_width),
        grid=(videos * segments,),
        in_specs=[of_video(snippets, width), of_video(snippets), of_video(snippets), of_video(width), segment, segment],
        out_specs=[row] * 3,
        out_shape=[out] * 3,
        compiler_params=triton.CompilerParams(num_warps=min(max(padded_width // VALUES_A_WARP, 1), 16), num_stages=1),
        interpret=interpret,
        name="retrieve_segments",
    )(features, norm, to_video, video, first, last)


def _of_one_segment(padded_width, features, norm, to_video, video, first, last, query, local, adapted):
    """Two passes over the segment's snippets: their maximum, then sums weighted by relevance to it and to the video.

    It reads, of the video: features [T, D], norm and to_video [T], video [D]; of the segment: first and last []. It
    writes query, local and adapted [D] of the segment.
    """
    columns = pl.ds(0, padded_width)
    in_row = jnp.arange(padded_width) < video.shape[0]
    kind, first, last = video.dtype, first[...], last[...]
    count = jnp.maximum(last - first, 0) + 1
    g = triton.load(video.at[columns], mask=in_row, other=0)

    def rows(step, other):
        index = pl.ds(first + step * ROWS, ROWS)
        inside = step * ROWS + jnp.arange(ROWS) < count
        mask = inside[:, None] & in_row
        return triton.load(features.at[index, columns], mask=mask, other=other).astype(kind), index, inside

    def larger(step, y):
        return jnp.maximum(y, jnp.max(rows(step, -jnp.inf)[0], axis=0))

    steps = (count + ROWS - 1) // ROWS
    y = jax.lax.fori_loop(0, steps, larger, jnp.full(padded_width, -jnp.inf, kind))
    y = jnp.where(in_row, y, 0)
    y_norm = jnp.maximum(jnp.sqrt(jnp.sum(y * y)), NORM_FLOOR)

    def add(step, sums):
        to_y_sum, to_g_sum, to_y_total, to_g_total = sums
        keys, index, inside = rows(step, 0)
        to_y = jnp.sum(keys * y, axis=1) / (triton.load(norm.at[index], mask=inside, other=1) * y_norm)
        to_y = jnp.maximum(to_y, 0)
        to_g = triton.load(to_video.at[index], mask=inside, other=0)
        return (
            to_y_sum + jnp.sum(to_y[:, None] * keys, axis=0),
            to_g_sum + jnp.sum(to_g[:, None] * keys, axis=0),
            to_y_total + jnp.sum(to_y),
            to_g_total + jnp.sum(to_g),
        )

    nothing, zero = jnp.zeros(padded_width, kind), jnp.zeros((), kind)
    multiple = last > first
    to_y_sum, to_g_sum, to_y_total, to_g_total = jax.lax.fori_loop(
        0, jnp.where(multiple, steps, 0), add, (nothing, nothing, zero, zero)
    )
    between = jnp.maximum(jnp.sum(y * g), 0) / (y_norm * jnp.maximum(jnp.sqrt(jnp.sum(g * g)), NORM_FLOOR))

    def store(out, total, values):  # the same as weighted_mean in retrieval.contexts
        total = jnp.where(multiple & (total + between > 0), total + between, 1)
        triton.store(out.at[columns], values / total, mask=in_row)

    triton.store(query.at[columns], y, mask=in_row)
    store(local, to_y_total, to_y_sum + between * g)
    store(adapted, to_g_total, to_g_sum + between * y)
