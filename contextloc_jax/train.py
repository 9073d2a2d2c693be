"""The train step, and the loop that reads a batch, steps, logs, evaluates and saves."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np
import optax

from contextloc_jax.batch import Batch
from contextloc_jax.checkpoint import Checkpoints
from contextloc_jax.errors import InputError
from contextloc_jax.losses import LossWeights, losses
from contextloc_jax.model import ContextLoc
from contextloc_jax.parallel import AXIS, Parallel
from contextloc_jax.progress import Progress

PROFILED_STEPS = (4, 8)  # of a run: first and last; by then everything is compiled


class TrainState(NamedTuple):
    """Everything a step changes."""

    step: Any
    params: Any
    batch_stats: Any
    opt_state: Any

    @property
    def variables(self) -> dict:
        return {"params": self.params, "batch_stats": self.batch_stats}


class Writer(Protocol):
    """A TensorBoard-like sink of scalars."""

    def write_scalars(self, step: int, scalars: dict[str, float]) -> None: ...


class Schedule(NamedTuple):
    """When things happen, in steps."""

    num_steps: int
    log_every: int
    evaluate_every: int


def initial_state(model: ContextLoc, optimizer: optax.GradientTransformation, batch: Batch, seed: int) -> TrainState:
    """Parameters drawn from `seed` for the shapes of `batch`, on the host."""
    one_video = jax.tree.map(lambda a: a[:1], batch)
    variables = jax.jit(model.init)(jax.random.key(seed), one_video)
    params = variables["params"]
    state = TrainState(np.zeros((), np.int32), params, variables.get("batch_stats", {}), optimizer.init(params))
    return jax.tree.map(np.asarray, jax.device_get(state))


def variable_shapes(model: ContextLoc, feature_width: int) -> dict:
    """Shapes of the model's params and batch_stats for snippet features of this width; computes nothing."""
    zeros = np.zeros
    batch = Batch(
        features=zeros((1, 1, feature_width), np.float32),
        num_snippets=np.ones(1, np.int32),
        segments=zeros((1, 1, 3, 2), np.int32),
        node_count=np.ones((1, 1), np.float32),
        first_hop=zeros((1, 1, 5), np.int32),
        second_hop=zeros((1, 1, 5), np.int32),
        center_mask=np.ones((1, 1), bool),
        example_key=zeros(1, np.uint32),
        targets=None,
    )
    return jax.eval_shape(lambda: model.init(jax.random.key(0), batch))


def loss_gradients(model: ContextLoc, weights: LossWeights, state: TrainState, batch: Batch, dropout_keys, axis_name):
    """This device's share of the losses and of their gradient, and the BatchNorm statistics after the batch.

    Shares add up over the devices of `axis_name`; with axis_name=None they are the whole. dropout_keys [V] or None.
    """

    def share(params):
        variables = {"params": params, "batch_stats": state.batch_stats}
        scores, updated = model.apply(variables, batch, True, dropout_keys, mutable=["batch_stats"])
        found = losses(scores, batch.targets, weights, axis_name)
        return found.total, (found, updated.get("batch_stats", {}))

    (_, (found, batch_stats)), gradients = jax.value_and_grad(share, has_aux=True)(state.params)
    return found, gradients, batch_stats


def make_train_step(
    model: ContextLoc,
    optimizer: optax.GradientTransformation,
    schedule: optax.Schedule,
    weights: LossWeights,
    seed: int,
) -> Callable:
    """step(state, batch) -> (state, scalars), for one device of axis 'data'.

    Dropout keys are folded from (seed, step, the batch's example keys), so they do not depend on devices.
    """

    def step(state: TrainState, batch: Batch):
        step_key = jax.random.fold_in(jax.random.key(seed), state.step)
        dropout_keys = jax.vmap(lambda key: jax.random.fold_in(step_key, key))(batch.example_key)
        # Differentiated at values that vary by device: gradients stay local until the one sum below.
        local = state._replace(params=jax.tree.map(lambda a: jax.lax.pcast(a, AXIS, to="varying"), state.params))
        found, gradients, batch_stats = loss_gradients(model, weights, local, batch, dropout_keys, AXIS)
        gradients, found = jax.lax.psum((gradients, found), AXIS)
        if model.norm_axis is None:
            batch_stats = jax.lax.pmean(batch_stats, AXIS)
        updates, opt_state = optimizer.update(gradients, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        scalars = {f"loss/{name}": value for name, value in found._asdict().items()}
        scalars |= {"gradient_norm": optax.tree.norm(gradients), "learning_rate": schedule(state.step)}
        return TrainState(state.step + 1, params, batch_stats, opt_state), scalars

    return step


def train(
    *,
    parallel: Parallel,
    step_function: Callable,
    state: TrainState,
    batches: Iterator[tuple[np.ndarray, Batch]],
    describe: Callable[[np.ndarray], str],
    schedule: Schedule,
    writer: Writer,
    evaluate: Callable[[dict], float | None],
    checkpoints: Checkpoints,
    about: dict,
    profile_dir: str | None = None,
) -> TrainState:
    """Runs from `state` to schedule.num_steps and returns the last state, on the host.

    Args:
      batches: this process's rows of every batch from state.step on, with the indices of their videos.
      describe: video indices -> the names to print when their loss is not finite.
      evaluate: variables -> validation mAP (None where there is no validation split).
      about: what every checkpoint carries beside its arrays.
      profile_dir: where a trace of a few steps is written, for TensorBoard's profiler; None for no trace.
    """
    first_step = int(state.step)
    compiled, state = parallel.compile_step(step_function), parallel.replicate(state)
    progress = Progress("train", schedule.num_steps, first_step)
    first_profiled = first_step + PROFILED_STEPS[0]
    last_profiled = min(first_step + PROFILED_STEPS[1], schedule.num_steps)
    pending = None  # checked one step late, so that the device never waits for the host
    try:
        for step, (videos, batch) in zip(range(first_step + 1, schedule.num_steps + 1), batches, strict=True):
            if profile_dir is not None and step == first_profiled:
                jax.profiler.start_trace(profile_dir)
            state, scalars = compiled(state, parallel.shard(batch))
            if profile_dir is not None and step == last_profiled >= first_profiled:
                jax.block_until_ready(state)
                jax.profiler.stop_trace()
            if pending is not None:
                _check_finite(*pending, describe)
            pending = step, scalars, videos
            ends = step == schedule.num_steps
            if ends or step % schedule.log_every == 0:
                values = _check_finite(*pending, describe)
                progress.update(step, loss=values["loss/total"])
                writer.write_scalars(step, values | {"steps_per_second": progress.steps_per_second})
            if ends or step % schedule.evaluate_every == 0:
                host = parallel.to_host(state)
                _check_finite(*pending, describe)
                _check_finite(step, _largest(host), videos, describe)
                metric = evaluate(host.variables)
                if metric is not None:
                    writer.write_scalars(step, {"validation/average_mAP": metric})
                    progress.note(f"step {step}: validation average mAP {metric:.3f}")
                checkpoints.save(step, host, about, metric)
                progress.restart_clock(step)
    finally:  # also when a loss is not finite: the checkpoint before is only then safe on disk
        checkpoints.wait()
    return parallel.to_host(state)


def _largest(tree) -> dict[str, np.ndarray]:
    """The largest magnitude in every array, by name; NaN where there is one."""
    named = {jax.tree_util.keystr(path, simple=True, separator="/"): a for path, a in jax.tree.leaves_with_path(tree)}
    return {name: np.max(np.abs(array), initial=0) for name, array in named.items()}


def _check_finite(step: int, scalars: dict, videos: np.ndarray, describe) -> dict:
    """The scalars as floats; one that is not finite ends the run before anything is saved."""
    values = {name: float(np.asarray(value).reshape(-1)[0]) for name, value in scalars.items()}
    bad = [name for name, value in values.items() if not np.isfinite(value)]
    if bad:
        raise InputError(
            f"step {step}: {', '.join(bad)} not finite; videos of the batch: {describe(videos)}; "
            "no checkpoint of this step was kept; look at these videos' features, or lower the learning rate"
        )
    return values
