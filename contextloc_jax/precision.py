"""Which type a matrix product reads and which it accumulates in."""

import jax
import jax.numpy as jnp


def accumulator(dtype) -> jnp.dtype:
    """Sums, statistics and parameters: float32, also when products read bfloat16."""
    return jnp.promote_types(dtype, jnp.float32)


def matmul(a: jax.Array, b: jax.Array, dtype) -> jax.Array:
    """a @ b with both read as `dtype`, summed and returned in accumulator(dtype)."""
    return jnp.matmul(a.astype(dtype), b.astype(dtype), preferred_element_type=accumulator(dtype))
