"""SGD against a plain loop of the authors' rule, and where the learning rate changes."""

import jax
import numpy as np
import optax
import pytest

from contextloc_jax.training.optimizer import learning_rate_schedule, sgd

MOMENTUM, DECAY = 0.9, 5e-4


def draw_tree(rng):
    """Arrays under the names the model gives its parameters."""
    return {
        "l_net": {name: rng.standard_normal(shape) for name, shape in (("query", (4, 3)), ("bias", 3))},
        "activity_norm": {"scale": rng.standard_normal(3), "bias": rng.standard_normal(3)},
        "activity_graph": {"first": {"kernel": rng.standard_normal((3, 2)), "bias": rng.standard_normal(2)}},
    }


def plain_loop(params, gradients, rates):
    """d = g + decay p; v = momentum v + d; p -= rate v; biases: no decay, twice the rate."""
    params = jax.tree.map(np.copy, params)
    velocity = jax.tree.map(np.zeros_like, params)
    for gradient, rate in zip(gradients, rates, strict=True):
        flat = jax.tree_util.tree_leaves_with_path(params)
        for (path, p), g, v in zip(flat, jax.tree.leaves(gradient), jax.tree.leaves(velocity), strict=True):
            bias = "bias" in jax.tree_util.keystr(path)
            v[...] = MOMENTUM * v + g + (0 if bias else DECAY) * p
            p -= (2 if bias else 1) * rate * v
    return params


def test_steps_are_the_authors_rule():
    rng = np.random.default_rng(0)
    params, gradients = draw_tree(rng), [draw_tree(rng) for _ in range(5)]
    with jax.enable_x64(True):
        optimizer = sgd(learning_rate_schedule(0.5, (1, 2), 0.1, 2), MOMENTUM, DECAY)
        found, state = params, optimizer.init(params)
        for gradient in gradients:
            updates, state = optimizer.update(gradient, state, found)
            found = optax.apply_updates(found, updates)
    expected = plain_loop(params, gradients, [0.5, 0.5, 0.05, 0.05, 0.005])
    for path, values in jax.tree_util.tree_leaves_with_path(expected):
        ours = dict(jax.tree_util.tree_leaves_with_path(found))[path]
        assert np.allclose(ours, values, rtol=1e-6, atol=1e-9), jax.tree_util.keystr(path)


def test_decay_alone_shrinks_weights_and_scales_but_no_bias():
    params = draw_tree(np.random.default_rng(1))
    optimizer = sgd(lambda step: 0.1, 0.0, 0.5)
    updates, _ = optimizer.update(jax.tree.map(np.zeros_like, params), optimizer.init(params), params)
    for path, update in jax.tree_util.tree_leaves_with_path(updates):
        value = dict(jax.tree_util.tree_leaves_with_path(params))[path]
        assert np.allclose(update, 0 if "bias" in jax.tree_util.keystr(path) else -0.1 * 0.5 * value)


@pytest.mark.parametrize("steps_per_epoch", [1, 7, 125])
def test_the_rate_falls_with_the_first_step_of_an_epoch(steps_per_epoch):
    schedule = learning_rate_schedule(0.01, (15, 30), 0.1, steps_per_epoch)
    for epoch, before, after in ((15, 0.01, 0.001), (30, 0.001, 0.0001)):
        assert schedule(epoch * steps_per_epoch - 1) == pytest.approx(before, rel=1e-6)
        assert schedule(epoch * steps_per_epoch) == pytest.approx(after, rel=1e-6)
    assert schedule(0) == pytest.approx(0.01) and schedule(45 * steps_per_epoch) == pytest.approx(0.0001, rel=1e-6)


def test_without_decay_epochs_the_rate_stays():
    schedule = learning_rate_schedule(0.02, (), 0.1, 10)
    assert schedule(0) == schedule(10_000) == pytest.approx(0.02)
