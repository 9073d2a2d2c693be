"""The highest rates of this machine's devices for matrix products and copies, through jax."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.host import median_seconds
from contextloc_jax.core.precision import matmul


def on_accelerator() -> bool:
    return jax.default_backend() != "cpu"


def matmul_rate(dtype: str = "float32") -> float:
    """Operations per second of a product of two square matrices of `dtype`, summed in the same way as in the model."""
    width, products = (8192, 3) if on_accelerator() else (2048, 1)
    matrix = _random_matrix(width, dtype)
    jax.block_until_ready(_square(matrix))

    def several():  # queued, so that an accelerator never waits for the host
        jax.block_until_ready([_square(matrix) for _ in range(products)])

    return 2 * products * width**3 / median_seconds(several, 5)


@cache
def _random_matrix(width: int, dtype: str) -> jax.Array:
    return jnp.asarray(np.random.default_rng(0).standard_normal((width, width), np.float32), dtype)


@jax.jit
def _square(matrix: jax.Array) -> jax.Array:
    return matmul(matrix, matrix, matrix.dtype)


def copy_rate() -> float:
    """Bytes read and written per second when all cores add 1 to a large array in place: nothing moves bytes faster."""
    megabytes, passes = (2048, 10) if on_accelerator() else (256, 2)
    add = jax.jit(lambda a: a + 1, donate_argnums=0)
    array = jax.block_until_ready(add(jnp.zeros(megabytes * 250_000, jnp.float32)))
    size, held = array.nbytes, [array]

    def several():
        for _ in range(passes):
            held[0] = add(held[0])
        jax.block_until_ready(held[0])

    return 2 * passes * size / median_seconds(several, 5)
