"""Products read the short type; sums, parameters and results keep float32."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from contextloc_jax.core.precision import accumulator, matmul, project


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


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_gradients_of_a_projection_are_those_of_the_product(dtype):
    random = np.random.default_rng(0)
    x, kernel, weight = (random.standard_normal(s).astype(np.float32) for s in ((2, 5, 3), (3, 4), (2, 5, 4)))

    def gradients(product):
        return jax.grad(lambda *inputs: jnp.sum(product(*inputs, dtype) * weight), (0, 1))(x, kernel)

    for found, expected in zip(gradients(project), gradients(matmul), strict=True):
        assert found.dtype == np.float32 and found.shape == expected.shape
        assert np.allclose(found, expected, rtol=0, atol=1e-5 if dtype == "float32" else 0.05)
