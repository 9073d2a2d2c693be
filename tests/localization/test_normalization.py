"""BatchNorm and its weighted, possibly distributed, moments against the NumPy reference."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contextloc_jax.localization.normalization import BatchNorm, Moments, moments
from tests.helpers.compiling import quickly_compiled
from tests.helpers.finite_differences import assert_gradients
from tests.helpers.random_videos import largest_difference, properties
from tests.helpers.reference_model import batch_norm

VIDEOS, NODES, FEATURES = 4, 5, 3
seeds = st.integers(0, 2**32 - 1)


def draw_rows(seed):
    """x [V, M, F], counts [V, M] from 0 to 3 with at least one node a video, and a BatchNorm's variables."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 4, (VIDEOS, NODES)).astype(float)
    counts[:, 0] = np.maximum(counts[:, 0], 1)
    params = {"scale": rng.standard_normal(FEATURES), "bias": rng.standard_normal(FEATURES)}
    stats = {"mean": rng.standard_normal(FEATURES), "var": rng.random(FEATURES) + 0.1}
    return 2 + 3 * rng.standard_normal((VIDEOS, NODES, FEATURES)), counts, params, stats


@jax.jit
def normalize_and_update(x, counts, params, stats):
    variables = {"params": params, "batch_stats": stats}
    return BatchNorm().apply(variables, x, moments(x, counts, None), mutable="batch_stats")


def in_float64(function, *arguments):
    with jax.enable_x64(True):
        return jax.tree.map(np.asarray, function(*arguments))


@properties
@given(seeds)
def test_training_is_the_reference(seed):
    x, counts, params, stats = draw_rows(seed)
    expected, after = batch_norm(params, stats, x, counts, train=True)
    found, updated = in_float64(normalize_and_update, x, counts, params, stats)
    assert largest_difference(found, np.array(expected)) < 1e-13
    assert largest_difference(updated["batch_stats"], after) < 1e-14
    found, updated = normalize_and_update(*jax.tree.map(np.float32, (x, counts, params, stats)))
    assert largest_difference(found, np.array(expected)) < 5e-6
    assert largest_difference(updated["batch_stats"], after) < 1e-6


@properties
@given(seeds)
def test_scoring_uses_the_running_statistics_and_leaves_them(seed):
    x, counts, params, stats = draw_rows(seed)
    expected, _ = batch_norm(params, stats, x, counts, train=False)
    variables = {"params": params, "batch_stats": stats}
    found, updated = in_float64(lambda: BatchNorm().apply(variables, x, None, mutable="batch_stats"))
    assert largest_difference(found, np.array(expected)) < 1e-13
    assert largest_difference(updated["batch_stats"], stats) == 0


@properties
@given(seeds)
def test_a_count_of_two_is_two_equal_nodes(seed):
    x, counts, params, stats = draw_rows(seed)
    counts = np.minimum(counts, 2)
    repeated, ones = np.zeros((VIDEOS, 2 * NODES, FEATURES)), np.zeros((VIDEOS, 2 * NODES))
    for video in range(VIDEOS):
        rows = np.repeat(x[video], counts[video].astype(int), axis=0)
        repeated[video, : len(rows)], ones[video, : len(rows)] = rows, 1
    counted = in_float64(normalize_and_update, x, counts, params, stats)
    spelled = in_float64(normalize_and_update, repeated, ones, params, stats)
    assert largest_difference(counted[1], spelled[1]) < 1e-14
    found = [np.repeat(rows, n.astype(int), axis=0) for rows, n in zip(counted[0], counts, strict=True)]
    assert largest_difference(np.concatenate(found), spelled[0][ones > 0]) < 1e-13


@properties
@given(seeds)
def test_padded_nodes_change_no_bit(seed):
    x, counts, params, stats = draw_rows(seed)
    counts[:, -2:] = 0
    changed = x.copy()
    changed[counts == 0] *= -1e6
    plain, other = (normalize_and_update(*jax.tree.map(np.float32, (a, counts, params, stats))) for a in (x, changed))
    assert np.array_equal(plain[0][counts > 0], other[0][counts > 0])
    assert jax.tree.all(jax.tree.map(np.array_equal, plain[1], other[1]))


@pytest.mark.parametrize("devices", [1, 2, 4])
def test_devices_that_share_an_axis_have_the_moments_of_all(devices):
    x, counts, *_ = draw_rows(devices)

    def shared(axis_name):
        split = [a.reshape(devices, -1, *a.shape[1:]) for a in (x, counts)]
        return quickly_compiled(jax.vmap(lambda x, n: moments(x, n, axis_name), axis_name="data"))(*split)

    rows = np.repeat(x.reshape(-1, FEATURES), counts.ravel().astype(int), axis=0)
    expected = Moments(np.float64(len(rows)), rows.mean(axis=0), rows.var(axis=0))
    for part, whole in zip(in_float64(shared, "data"), expected, strict=True):
        assert largest_difference(part, np.broadcast_to(whole, (devices, *whole.shape))) < 1e-14
    own = in_float64(shared, None)
    own_rows = np.repeat(
        x[: VIDEOS // devices].reshape(-1, FEATURES), counts[: VIDEOS // devices].ravel().astype(int), 0
    )
    assert largest_difference(own.mean[0], own_rows.mean(axis=0)) < 1e-14
    assert largest_difference(own.variance[0], own_rows.var(axis=0)) < 1e-14


def test_a_mean_far_above_the_deviation_costs_no_digits():
    rng = np.random.default_rng(0)
    x = (1000 + 0.1 * rng.standard_normal((2, 400, 3))).astype(np.float32)
    devices = quickly_compiled(jax.vmap(lambda x: moments(x[None], jnp.ones((1, 400)), "data"), axis_name="data"))(x)
    for found in (moments(x, jnp.ones((2, 400)), None), jax.tree.map(lambda a: a[0], devices)):
        expected = x.astype(np.float64).reshape(-1, 3).var(axis=0)
        assert largest_difference(found.variance, expected) < 2e-3
        assert largest_difference(found.mean, x.astype(np.float64).mean(axis=(0, 1))) < 1e-6


@pytest.mark.parametrize("shared", [False, True])
def test_gradients_reach_through_the_batch_statistics(shared):
    x, counts, params, stats = draw_rows(5)
    toward = np.random.default_rng(5).standard_normal(x.shape) * (counts > 0)[..., None]

    def slow(arguments):
        x, params = arguments
        return np.sum(np.array(batch_norm(params, stats, x, counts, train=True)[0]) * toward)

    def fast(x, params):
        if not shared:
            return jnp.sum(normalize_and_update(x, counts, params, stats)[0] * toward)

        def device(x, counts, toward):
            variables = {"params": params, "batch_stats": stats}
            rows = moments(x[None], counts[None], "data")
            return jnp.sum(BatchNorm().apply(variables, x, rows, mutable="batch_stats")[0] * toward)

        return jnp.sum(jax.vmap(device, axis_name="data")(x, counts, toward))

    assert_gradients(slow, (x, params), in_float64(quickly_compiled(jax.grad(fast, argnums=(0, 1))), x, params))


def test_initial_values_and_one_lone_row():
    x = np.full((1, 1, FEATURES), 4, np.float32)
    batch = moments(x, np.ones((1, 1)), None)
    variables = BatchNorm().init(jax.random.key(0), x, batch)
    expected = {
        "params": {"scale": np.ones(FEATURES), "bias": np.zeros(FEATURES)},
        "batch_stats": {"mean": np.zeros(FEATURES), "var": np.ones(FEATURES)},
    }
    assert jax.tree.all(jax.tree.map(np.array_equal, variables, expected))
    found, updated = BatchNorm().apply(variables, x, batch, mutable="batch_stats")
    assert not np.any(found)
    assert np.allclose(updated["batch_stats"]["mean"], 0.4) and np.allclose(updated["batch_stats"]["var"], 0.9)
