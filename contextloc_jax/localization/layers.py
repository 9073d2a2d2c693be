"""Layers that the nets share: linear maps, the form of L-Net and G-Net, dropout per video, gathers in a graph."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from contextloc_jax.core.precision import accumulator, project
from contextloc_jax.localization.initializers import uniform_by_width


class Linear(nn.Module):
    """x W + b. The kernel is stored as [in, out]. dtype: as for core.precision.matmul."""

    width: int
    kernel_init: nn.initializers.Initializer
    bias_init: nn.initializers.Initializer
    dtype: str

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        stored = accumulator(self.dtype)
        kernel = self.param("kernel", self.kernel_init, (x.shape[-1], self.width), stored)
        return project(x, kernel, self.dtype) + self.param("bias", self.bias_init, (self.width,), stored)


class ContextProjection(nn.Module):
    """relu(query W_q + context W_c + b): the form that L-Net and G-Net share.

    If reads_context is False (an ablation), the second term and its weights are absent.
    """

    width: int
    reads_context: bool
    dtype: str

    @nn.compact
    def project(self, query: jax.Array, context: jax.Array) -> jax.Array:
        """query and context [..., D], broadcast against each other -> [..., width]."""
        init, stored = uniform_by_width(self.width), accumulator(self.dtype)
        total = project(query, self.param("query", init, (query.shape[-1], self.width), stored), self.dtype)
        if self.reads_context:
            kernel = self.param("context", init, (context.shape[-1], self.width), stored)
            total += project(context, kernel, self.dtype)
        return nn.relu(total + self.param("bias", init, (self.width,), stored))


def dropout(x: jax.Array, rate: float, keys: jax.Array | None) -> jax.Array:
    """Inverted dropout with one key per video, so the draws do not depend on how videos are batched.

    x: [V, ...]. rate: share of the values that are set to 0. keys: [V]; None: no dropout.
    """
    if keys is None or rate == 0:
        return x
    keep = jax.vmap(lambda key: jax.random.bernoulli(key, 1 - rate, x.shape[1:]))(keys)
    return jnp.where(keep, x / (1 - rate), 0)


def take_rows(x: jax.Array, indices: jax.Array) -> jax.Array:
    """Rows of x [V, M, ...] at indices [V, ...] of its second axis, video by video."""
    return jax.vmap(lambda rows, index: rows[index])(x, indices)


@jax.custom_vjp
def take_rows_twice(x: jax.Array, indices: jax.Array, others: jax.Array) -> tuple[jax.Array, jax.Array]:
    """`take_rows` at `indices` and at `others`. The gradients of both are scattered together, which saves a pass over
    x that adds them."""
    return take_rows(x, indices), take_rows(x, others)


def _take_forward(x, indices, others):
    return take_rows_twice(x, indices, others), (x, indices, others)


def _take_backward(inputs, gradients):
    def joined(*parts, shape=()):
        return jnp.concatenate([part.reshape(len(part), -1, *shape) for part in parts], axis=1)

    x, *indices = inputs
    _, scatter = jax.vjp(lambda x: take_rows(x, joined(*indices)), x)
    return *scatter(joined(*gradients, shape=x.shape[2:])), None, None


take_rows_twice.defvjp(_take_forward, _take_backward)


def cosine(product: jax.Array, squared_norms: jax.Array) -> jax.Array:
    """a.b and |a|^2 |b|^2 -> the cosine of a and b; 0 where one of them is zero (the authors' code gives NaN)."""
    positive = squared_norms > 0
    return jnp.where(positive, product * jax.lax.rsqrt(jnp.where(positive, squared_norms, 1)), 0)
