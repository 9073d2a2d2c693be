"""Which type a matrix product reads and which it accumulates in."""

from functools import partial

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike


def accumulator(dtype: DTypeLike) -> jnp.dtype:
    """Sums, statistics and parameters: float32, also when products read bfloat16."""
    return jnp.promote_types(dtype, jnp.float32)


def matmul(a: jax.Array, b: jax.Array, dtype: DTypeLike) -> jax.Array:
    """a @ b with both read as `dtype`, summed and returned in accumulator(dtype)."""
    # Accelerators would otherwise shorten float32 products to 10 (TF32) or 8 (TPU) bits.
    return jnp.matmul(a.astype(dtype), b.astype(dtype), precision="highest", preferred_element_type=accumulator(dtype))


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def project(x: jax.Array, kernel: jax.Array, dtype: DTypeLike) -> jax.Array:
    """`matmul` of rows x [..., D] and a kernel [D, H], whose gradient is (dz^T x)^T.

    jax's own, x^T dz, is the same sum, but XLA leaves a product whose left side is transposed to its slow fallback on
    a CPU (1.7 times as long on one core). The barriers keep the transposed copy of dz and XLA from going back.
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
