"""Products read the short type; sums, parameters and results keep float32."""

import jax.numpy as jnp
import numpy as np
import pytest

from contextloc_jax.precision import accumulator, matmul


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_sums_keep_float32(dtype):
    """4097 is no bfloat16 number, so it comes out of a float32 sum alone."""
    found = matmul(np.ones((1, 4097), np.float32), np.ones((4097, 1), np.float32), dtype)
    assert found.dtype == np.float32 and found == 4097
    assert accumulator(dtype) == np.float32


def test_products_read_their_factors_in_the_given_type():
    third = np.full((1, 1), 1 / 3, np.float32)
    assert matmul(third, np.eye(1), "float32") == third
    assert matmul(third, np.eye(1), "bfloat16") == third.astype(jnp.bfloat16).astype(np.float32) != third
