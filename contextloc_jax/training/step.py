"""The training step of any stage: gradients of its loss on every device, one exchange, one update.

A stage gives loss(params, batch_stats, inputs, dropout_keys, num_examples) -> (losses, batch_stats afterwards).
`inputs` is a tree of arrays [V, ...] with a field `example_key` [V] uint32. `losses` is a NamedTuple with a field
`total`; it holds the share of these inputs in the losses of `num_examples` examples.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from contextloc_jax.devices.parallel import AXIS


class TrainState(NamedTuple):
    """Everything that a step changes."""

    step: Any
    params: Any
    batch_stats: Any
    opt_state: Any

    @property
    def variables(self) -> dict:
        return {"params": self.params, "batch_stats": self.batch_stats}


def initial_state(model, optimizer: optax.GradientTransformation, batch: Any, seed: int) -> TrainState:
    """The state at step 0, on the host: parameters of a Flax module, drawn from `seed` for the shapes of `batch`."""
    one_example = jax.tree.map(lambda a: a[:1], batch)
    variables = jax.jit(model.init)(jax.random.key(seed), one_example)
    params = variables["params"]
    state = TrainState(np.zeros((), np.int32), params, variables.get("batch_stats", {}), optimizer.init(params))
    return jax.tree.map(np.asarray, jax.device_get(state))


def loss_gradients(loss: Callable, state: TrainState, inputs: Any, dropout_keys, num_examples: int | None):
    """(losses, gradients of their total, BatchNorm statistics afterwards) of the inputs.

    The losses are the share of the inputs in those of `num_examples` examples; None: the inputs are all examples.
    dropout_keys: [V]; None: no dropout.
    """

    def share(params):
        found, batch_stats = loss(params, state.batch_stats, inputs, dropout_keys, num_examples)
        return found.total, (found, batch_stats)

    (_, (found, batch_stats)), gradients = jax.value_and_grad(share, has_aux=True)(state.params)
    return found, gradients, batch_stats


def accumulated_gradients(loss: Callable, state: TrainState, inputs: Any, dropout_keys, num_examples: int, parts: int):
    """`loss_gradients` of equal parts of the inputs, one after the other. The sums are the same, but the memory holds
    the activations of only one part.

    BatchNorm normalizes every part by its own moments, and updates its running statistics after every part.
    """
    if parts == 1:
        return loss_gradients(loss, state, inputs, dropout_keys, num_examples)

    def add(carry, part):
        sums, batch_stats = carry
        *shares, batch_stats = loss_gradients(loss, state._replace(batch_stats=batch_stats), *part, num_examples)
        return (jax.tree.map(jnp.add, sums, tuple(shares)), batch_stats), None

    split = jax.tree.map(lambda a: a.reshape(parts, -1, *a.shape[1:]), (inputs, dropout_keys))
    shares = jax.eval_shape(
        lambda part: loss_gradients(loss, state, *part, num_examples), jax.tree.map(lambda a: a[0], split)
    )[:2]
    zeros = _varying(jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), shares))
    (sums, batch_stats), _ = jax.lax.scan(add, (zeros, state.batch_stats), split)
    return *sums, batch_stats


def make_train_step(
    loss: Callable,
    optimizer: optax.GradientTransformation,
    learning_rate: optax.Schedule,
    seed: int,
    accumulation: int = 1,
    stats_are_global: bool = False,
) -> Callable:
    """step(state, (inputs, stop)) -> (state, scalars), for one device of axis 'data'.

    stop: [1] float32, above 0 if this process was asked to stop. The sum over all devices is the scalar 'stop', so all
    processes learn of it at the same step.
    accumulation: number of parts into which a device splits its inputs; it computes one after the other.
    stats_are_global: the model takes BatchNorm statistics over all devices.
    Dropout keys are made from (seed, step, example keys of the inputs), so they do not depend on devices. Devices
    exchange everything in one sum, except the moments of global BatchNorm.
    """

    def step(state: TrainState, inputs_and_stop: tuple[Any, jax.Array]):
        inputs, stop = inputs_and_stop
        devices = jax.lax.axis_size(AXIS)
        step_key = jax.random.fold_in(jax.random.key(seed), state.step)
        dropout_keys = jax.vmap(lambda key: jax.random.fold_in(step_key, key))(inputs.example_key)
        # The parameters are marked as different on every device, so gradients stay local until the one sum below.
        local = state._replace(params=_varying(state.params))
        if not stats_are_global:
            local = local._replace(batch_stats=_varying(state.batch_stats))
        found, gradients, batch_stats = accumulated_gradients(
            loss, local, inputs, dropout_keys, len(inputs.example_key) * devices, accumulation
        )
        own_stats = {} if stats_are_global else jax.tree.map(lambda a: a / devices, batch_stats)
        gradients, found, stop, mean_stats = jax.lax.psum((gradients, found, stop[0], own_stats), AXIS)
        batch_stats = batch_stats if stats_are_global else mean_stats
        updates, opt_state = optimizer.update(gradients, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        scalars = {f"loss/{name}": value for name, value in found._asdict().items()}
        scalars |= {
            "gradient_norm": optax.tree.norm(gradients),
            "learning_rate": learning_rate(state.step),
            "stop": stop,
        }
        return TrainState(state.step + 1, params, batch_stats, opt_state), scalars

    return step


def _varying(tree):
    """Marks a tree as different on every device, so that jax sums nothing over devices by itself."""
    return jax.tree.map(lambda a: jax.lax.pcast(a, AXIS, to="varying"), tree)
