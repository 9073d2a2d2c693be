"""The step: the gradient of the loss through the optimizer, in parts or whole, and where dropout's draws come from."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from contextloc_jax.devices.mesh import MeshParallel
from contextloc_jax.localization.contextloc import smallest_batch
from contextloc_jax.localization.objective import training_inputs, training_loss
from contextloc_jax.training.step import TrainState, initial_state, loss_gradients
from tests.helpers.compiling import quickly_compiled
from tests.helpers.random_videos import largest_difference
from tests.helpers.virtual_devices import (
    OPTIMIZER,
    SEED,
    WEIGHTS,
    compiled_step,
    first_state,
    no_stop,
    tiny_model,
    training_batches,
)

pytestmark = pytest.mark.usefixtures("quick_compiler")


def test_parameters_are_drawn_from_the_seed():
    batch = training_batches()[0]
    smallest = smallest_batch(batch.features.shape[2])  # no other size of a batch counts
    first, again, other = (
        initial_state(tiny_model("dropout"), OPTIMIZER, of, seed)
        for of, seed in ((batch, 0), (smallest, 0), (batch, 1))
    )
    assert first.step == 0 and all(type(leaf) is np.ndarray for leaf in jax.tree.leaves(first))
    assert all(np.array_equal(a, b) for a, b in zip(jax.tree.leaves(first), jax.tree.leaves(again), strict=True))
    assert not np.array_equal(first.params["l_net"]["query"], other.params["l_net"]["query"])
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(first.opt_state))


@functools.cache
def compiled_gradients():
    """(state, dropout keys) -> losses, gradients and statistics of the first batch, without devices."""
    model, batch = tiny_model("dropout").copy(norm_axis=None), training_batches()[0]
    loss, inputs = training_loss(model, WEIGHTS), training_inputs(model)
    return quickly_compiled(lambda state, keys: loss_gradients(loss, state, inputs(batch), keys, None))


def dropout_keys(seed=SEED, step=0, example_keys=None):
    """Folded from the seed, the step and every video's key."""
    keys = training_batches()[0].example_key if example_keys is None else example_keys
    return jnp.stack([jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), step), key) for key in keys])


@pytest.mark.parametrize("name, parts", [("no norm", 4), ("plain", 2)])
def test_accumulated_parts_are_the_whole_where_batch_norm_allows(name, parts):
    """Losses, gradient and new parameters; with BatchNorm each part is normalized by itself."""
    parallel = MeshParallel()
    placed, stop = parallel.shard((training_batches()[0], no_stop(parallel)))
    inputs, before = (parallel.compile_rows(training_inputs(tiny_model(name)))(placed), stop), first_state(name)
    found = [
        parallel.to_host(compiled_step(name, "shard_map", accumulation)(parallel.replicate(before), inputs))
        for accumulation in (1, parts)
    ]
    (whole, whole_scalars), (summed, scalars) = found
    differences = [largest_difference(summed.params, whole.params), largest_difference(scalars, whole_scalars)]
    if name == "no norm":
        assert max(differences) < 1e-5
    else:
        assert max(differences) > 1e-5 and np.isfinite(scalars["loss/total"])
        assert largest_difference(summed.batch_stats, whole.batch_stats) > 1e-3


@pytest.mark.parametrize("step, rate", [(7, 0.01), (8, 0.001)])
def test_a_step_is_the_gradient_of_the_loss_through_the_optimizer(step, rate):
    count = optax.tree_utils.tree_set(first_state().opt_state, count=np.int32(step))
    before = first_state()._replace(step=np.int32(step), opt_state=count)
    found, gradients, batch_stats = compiled_gradients()(before, dropout_keys(step=step))
    updates, opt_state = OPTIMIZER.update(gradients, before.opt_state, before.params)
    expected = TrainState(step + 1, optax.apply_updates(before.params, updates), batch_stats, opt_state)

    parallel = MeshParallel()
    batch, stop = parallel.shard((training_batches()[0], no_stop(parallel)))
    inputs = parallel.compile_rows(training_inputs(tiny_model("dropout")))(batch), stop
    after, scalars = compiled_step("dropout", "shard_map")(parallel.replicate(before), inputs)
    after, scalars = parallel.to_host((after, scalars))
    assert largest_difference(after, expected) < 1e-5 and largest_difference(after.params, before.params) > 1e-4
    names = ("activity", "completeness", "regression", "total")
    assert [scalars[f"loss/{name}"] for name in names] == pytest.approx([float(loss) for loss in found], rel=1e-5)
    assert scalars["learning_rate"] == pytest.approx(rate)
    norm = np.sqrt(sum(np.sum(np.square(leaf)) for leaf in jax.tree.leaves(gradients)))
    assert scalars["gradient_norm"] == pytest.approx(norm, rel=1e-5)


def test_dropout_depends_on_seed_step_and_example_key():
    keys = training_batches()[0].example_key
    draws = [dropout_keys(), dropout_keys(seed=8), dropout_keys(step=1), dropout_keys(example_keys=[1, *keys[1:]])]
    losses = [float(compiled_gradients()(first_state(), keys)[0].total) for keys in draws]
    assert len({round(loss, 4) for loss in losses}) == len(draws)
