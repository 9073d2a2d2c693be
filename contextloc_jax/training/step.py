"""The training step."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from contextloc_jax.core.structs import Batch
from contextloc_jax.devices.parallel import AXIS
from contextloc_jax.localization.contextloc import ContextLoc
from contextloc_jax.localization.losses import LossWeights, losses


class TrainState(NamedTuple):
    """Everything a step changes."""

    step: Any
    params: Any
    batch_stats: Any
    opt_state: Any

    @property
    def variables(self) -> dict:
        return {"params": self.params, "batch_stats": self.batch_stats}


def initial_state(model: ContextLoc, optimizer: optax.GradientTransformation, batch: Batch, seed: int) -> TrainState:
    """Parameters drawn from `seed` for the shapes of `batch`, on the host."""
    one_video = jax.tree.map(lambda a: a[:1], batch)
    variables = jax.jit(model.init)(jax.random.key(seed), one_video)
    params = variables["params"]
    state = TrainState(np.zeros((), np.int32), params, variables.get("batch_stats", {}), optimizer.init(params))
    return jax.tree.map(np.asarray, jax.device_get(state))


def loss_gradients(
    model: ContextLoc, weights: LossWeights, state: TrainState, batch: Batch, dropout_keys, num_videos: int | None
):
    """The batch's share of the losses of `num_videos` videos, its gradient, and the BatchNorm statistics after it.

    num_videos=None: the batch is the whole. dropout_keys [V] or None.
    """

    def share(params):
        variables = {"params": params, "batch_stats": state.batch_stats}
        scores, updated = model.apply(variables, batch, True, dropout_keys, mutable=["batch_stats"])
        found = losses(scores, batch.targets, weights, num_videos)
        return found.total, (found, updated.get("batch_stats", {}))

    (_, (found, batch_stats)), gradients = jax.value_and_grad(share, has_aux=True)(state.params)
    return found, gradients, batch_stats


def accumulated_gradients(
    model: ContextLoc, weights: LossWeights, state: TrainState, batch: Batch, dropout_keys, num_videos: int, parts: int
):
    """`loss_gradients` of equal parts of the batch, one after the other: the same sums with the activations of one
    part in memory.

    BatchNorm normalizes every part by itself, and its running statistics see all of them in turn.
    """
    if parts == 1:
        return loss_gradients(model, weights, state, batch, dropout_keys, num_videos)

    def add(carry, part):
        sums, batch_stats = carry
        *shares, batch_stats = loss_gradients(
            model, weights, state._replace(batch_stats=batch_stats), *part, num_videos
        )
        return (jax.tree.map(jnp.add, sums, tuple(shares)), batch_stats), None

    split = jax.tree.map(lambda a: a.reshape(parts, -1, *a.shape[1:]), (batch, dropout_keys))
    shares = jax.eval_shape(
        lambda part: loss_gradients(model, weights, state, *part, num_videos), jax.tree.map(lambda a: a[0], split)
    )[:2]
    zeros = _varying(jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), shares))
    (sums, batch_stats), _ = jax.lax.scan(add, (zeros, state.batch_stats), split)
    return *sums, batch_stats


def _varying(tree):
    """Marked as differing by device, so that nothing is summed over devices before it is asked for."""
    return jax.tree.map(lambda a: jax.lax.pcast(a, AXIS, to="varying"), tree)


def make_train_step(
    model: ContextLoc,
    optimizer: optax.GradientTransformation,
    schedule: optax.Schedule,
    weights: LossWeights,
    seed: int,
    accumulation: int = 1,
) -> Callable:
    """step(state, (batch, stop)) -> (state, scalars), for one device of axis 'data'.

    stop [1] float32: above 0 where this process was asked to stop; its sum is the scalar 'stop', by which all
    processes know of it at the same step. accumulation: parts into which a device's batch is split, one after the
    other. Dropout keys are folded from (seed, step, the batch's example keys), so they do not depend on devices.
    All that devices exchange, but for global BatchNorm, goes through one sum.
    """

    def step(state: TrainState, inputs: tuple[Batch, jax.Array]):
        batch, stop = inputs
        devices = jax.lax.axis_size(AXIS)
        step_key = jax.random.fold_in(jax.random.key(seed), state.step)
        dropout_keys = jax.vmap(lambda key: jax.random.fold_in(step_key, key))(batch.example_key)
        # Differentiated at values that vary by device: gradients stay local until the one sum below.
        local = state._replace(params=_varying(state.params))
        if model.norm_axis is None:
            local = local._replace(batch_stats=_varying(state.batch_stats))
        found, gradients, batch_stats = accumulated_gradients(
            model, weights, local, batch, dropout_keys, len(batch.num_snippets) * devices, accumulation
        )
        own_stats = {} if model.norm_axis else jax.tree.map(lambda a: a / devices, batch_stats)
        gradients, found, stop, mean_stats = jax.lax.psum((gradients, found, stop[0], own_stats), AXIS)
        batch_stats = batch_stats if model.norm_axis else mean_stats
        updates, opt_state = optimizer.update(gradients, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        scalars = {f"loss/{name}": value for name, value in found._asdict().items()}
        scalars |= {"gradient_norm": optax.tree.norm(gradients), "learning_rate": schedule(state.step), "stop": stop}
        return TrainState(state.step + 1, params, batch_stats, opt_state), scalars

    return step
