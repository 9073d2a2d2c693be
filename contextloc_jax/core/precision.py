"""The types of a matrix product: the one that it reads, and the one in which it sums."""

from functools import partial

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike


def accumulator(dtype: DTypeLike) -> jnp.dtype:
    """The type of sums, statistics and parameters: float32, also when products read bfloat16; float64 for float64."""
    return jnp.promote_types(dtype, jnp.float32)


def matmul(a: jax.Array, b: jax.Array, dtype: DTypeLike) -> jax.Array:
    """a @ b: both are read as `dtype`; the result is summed and returned in accumulator(dtype)."""
    # By default, accelerators shorten the inputs of float32 products to 10 (TF32) or 8 (TPU) bits.
    return jnp.matmul(a.astype(dtype), b.astype(dtype), precision="highest", preferred_element_type=accumulator(dtype))


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def project(x: jax.Array, kernel: jax.Array, dtype: DTypeLike) -> jax.Array:
    """`matmul` of rows x [..., D] and a kernel [D, H] -> [..., H]. The gradient of the kernel is (dz^T x)^T.

    jax would compute this gradient as x^T dz. That is the same sum, but on a CPU XLA computes a product with a
    transposed left side by a slow method (1.7 times as long on one core). The barriers make XLA keep the transposed
    copy of dz, so that it does not turn the product back into x^T dz.
    """
    return matmul(x, kernel, dtype)


def _project(x: jax.Array, kernel: jax.Array, dtype: DTypeLike) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return matmul(x, kernel, dtype), (x, kernel)


def _gradients(dtype: DTypeLike, inputs: tuple[jax.Array, jax.Array], dz: jax.Array) -> tuple[jax.Array, jax.Array]:
    x, kernel = inputs
    rows, dz_rows = x.reshape(-1, x.shape[-1]), dz.reshape(-1, dz.shape[-1])
    barrier = jax.lax.optimization_barrier
    return matmul(dz, kernel.T, dtype), barrier(matmul(barrier(dz_rows.T), rows, dtype)).T


project.defvjp(_project, _gradients)
