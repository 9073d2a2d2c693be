"""Dropout by video, rows taken along a graph, and the cosine of vectors that may be zero."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from contextloc_jax.localization.layers import cosine, dropout, take_rows_twice
from tests.helpers.compiling import quickly_compiled

drop = quickly_compiled(dropout, static_argnums=1)


def test_dropout_keeps_its_share_and_scales_what_it_keeps():
    x = np.ones((4, 100, 250), np.float32)
    for rate in (0.3, 0.8):
        found = np.asarray(drop(x, rate, jax.random.split(jax.random.key(0), 4)))
        assert set(np.unique(found)) == {np.float32(0), np.float32(1) / np.float32(1 - rate)}
        assert np.mean(found == 0) == pytest.approx(rate, abs=5 * (0.25 / found.size) ** 0.5)
        assert np.mean(found) == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("rate, keys", [(0.5, None), (0.0, jax.random.split(jax.random.key(0), 2))])
def test_no_dropout_without_keys_or_rate(rate, keys):
    x = np.ones((2, 3, 4), np.float32)
    assert np.array_equal(dropout(x, rate, keys), x)


def test_a_video_drops_by_its_own_key_wherever_it_stands():
    x = np.random.default_rng(0).standard_normal((3, 4, 50)).astype(np.float32)
    keys, elsewhere = jax.random.split(jax.random.key(7), 3), np.array([2, 0])
    together = np.asarray(drop(x, 0.5, keys))
    assert np.array_equal(drop(x[elsewhere], 0.5, keys[elsewhere]), together[elsewhere])
    masks = together == 0
    assert not np.array_equal(masks[0], masks[1]) and not np.array_equal(masks[0][0], masks[0][1])


def test_rows_taken_twice_are_those_taken_once_each_with_the_gradients_of_both():
    rng = np.random.default_rng(1)
    x, indices, others = rng.standard_normal((2, 5, 3)), rng.integers(0, 5, (2, 4)), rng.integers(0, 5, (2, 6, 2))
    toward = rng.standard_normal((2, 4, 3)), rng.standard_normal((2, 6, 2, 3))
    with jax.enable_x64(True):
        found = take_rows_twice(x, indices, others)
        gradient = jax.grad(lambda x: sum(map(jnp.vdot, take_rows_twice(x, indices, others), toward)))(x)
    for rows, places in zip(found, (indices, others), strict=True):
        assert np.array_equal(rows, [x[video][places[video]] for video in range(2)])
    expected = np.zeros_like(x)
    for video in range(2):
        for places, weights in zip((indices, others), toward, strict=True):
            np.add.at(expected[video], places[video], weights[video])
    assert np.allclose(gradient, expected, rtol=0, atol=1e-14)


def test_the_cosine_of_a_zero_vector_is_zero_and_its_gradient_finite():
    assert cosine(np.zeros(1), np.zeros(1)) == 0
    assert cosine(np.float32(3), np.float32(36)) == 0.5
    gradients = jax.grad(lambda a: cosine(a @ a, (a @ a) * (a @ a)))(np.zeros(2))
    assert np.array_equal(gradients, np.zeros(2))
