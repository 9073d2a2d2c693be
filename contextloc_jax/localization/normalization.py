"""Batch normalization over weighted rows, with the authors' (torch's) conventions."""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

EPSILON = 1e-5
MOMENTUM = 0.1  # torch's: weight of the new batch


class Moments(NamedTuple):
    """Batch statistics over `count` rows: mean and biased variance, each [...] per feature."""

    count: jax.Array
    mean: jax.Array
    variance: jax.Array


def moments(x: jax.Array, weight: jax.Array, axis_name: str | None) -> Moments:
    """Moments of rows x [V, M, ...], each counted weight [V, M] times, over all devices of `axis_name`.

    axis_name: None for this device only. Every device makes two passes over its rows, then all exchange their moments
    once. One pass with sums of squares would lose half the digits of features whose mean is above their deviation.
    """
    rows = x.reshape(-1, *x.shape[2:])
    weight = weight.reshape(-1)
    count = jnp.sum(weight)
    mean = jnp.tensordot(weight, rows, 1) / count
    variance = jnp.tensordot(weight, jnp.square(rows - mean), 1) / count
    if axis_name is None:
        return Moments(count, mean, variance)
    if jax.lax.axis_size(axis_name) == 1:
        return Moments(*jax.lax.psum((count, mean, variance), axis_name))  # the same values, marked as replicated
    counts, means, variances = _gather((count, mean, variance), axis_name)
    total = jnp.sum(counts)
    mean = jnp.tensordot(counts, means, 1) / total
    return Moments(total, mean, jnp.tensordot(counts, variances + jnp.square(means - mean), 1) / total)


def _gather(local, axis_name: str):
    """The arrays of all devices, stacked along a new first axis: computed as one sum, which jax knows is replicated."""
    size, index = jax.lax.axis_size(axis_name), jax.lax.axis_index(axis_name)
    flat, unflatten = ravel_pytree(local)
    table = jax.lax.psum(jnp.zeros((size, flat.size), flat.dtype).at[index].set(flat), axis_name)
    return jax.vmap(unflatten)(table)


class BatchNorm(nn.Module):
    """(x - mean) / sqrt(variance + 1e-5) * scale + bias. Training also updates the running statistics."""

    @nn.compact
    def __call__(self, x: jax.Array, batch: Moments | None) -> jax.Array:
        """x: [..., F]. batch: moments [F] of the training batch; None: the running statistics are used."""
        width = x.shape[-1:]
        scale = self.param("scale", nn.initializers.ones, width, x.dtype)
        bias = self.param("bias", nn.initializers.zeros, width, x.dtype)
        mean = self.variable("batch_stats", "mean", jnp.zeros, width, x.dtype)
        variance = self.variable("batch_stats", "var", jnp.ones, width, x.dtype)
        if batch is None:
            factor = scale * jax.lax.rsqrt(variance.value + EPSILON)
            return x * factor + (bias - mean.value * factor)
        if not self.is_initializing():
            unbiased = batch.variance * (batch.count / jnp.maximum(batch.count - 1, 1))
            mean.value = (1 - MOMENTUM) * mean.value + MOMENTUM * batch.mean
            variance.value = (1 - MOMENTUM) * variance.value + MOMENTUM * unbiased
        factor = scale * jax.lax.rsqrt(batch.variance + EPSILON)
        return x * factor + (bias - batch.mean * factor)
