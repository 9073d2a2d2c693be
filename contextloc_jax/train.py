"""The train step, and the loop that reads a batch, steps, logs, evaluates and saves."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
import optax

from contextloc_jax import processes
from contextloc_jax.batch import Batch
from contextloc_jax.checkpoint import Checkpoints
from contextloc_jax.errors import InputError
from contextloc_jax.losses import LossWeights, losses
from contextloc_jax.model import ContextLoc
from contextloc_jax.parallel import AXIS, Parallel
from contextloc_jax.preemption import Stopped, StopSignal
from contextloc_jax.progress import Progress
from contextloc_jax.step_trace import StepTrace


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

    def is_logged(self, step: int) -> bool:
        return step == self.num_steps or step % self.log_every == 0

    def is_due(self, step: int) -> bool:
        """For evaluation and saving."""
        return step == self.num_steps or step % self.evaluate_every == 0


def initial_state(model: ContextLoc, optimizer: optax.GradientTransformation, batch: Batch, seed: int) -> TrainState:
    """Parameters drawn from `seed` for the shapes of `batch`, on the host."""
    one_video = jax.tree.map(lambda a: a[:1], batch)
    variables = jax.jit(model.init)(jax.random.key(seed), one_video)
    params = variables["params"]
    state = TrainState(np.zeros((), np.int32), params, variables.get("batch_stats", {}), optimizer.init(params))
    return jax.tree.map(np.asarray, jax.device_get(state))


def smallest_batch(feature_width: int) -> Batch:
    """One video of one snippet and one proposal: the shapes of a model's variables depend on no more of a batch."""
    zeros = np.zeros
    return Batch(
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


def variable_shapes(model: ContextLoc, feature_width: int) -> dict:
    """Shapes of the model's params and batch_stats for snippet features of this width; computes nothing."""
    return jax.eval_shape(lambda: model.init(jax.random.key(0), smallest_batch(feature_width)))


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

    BatchNorm normalises every part by itself, and its running statistics see all of them in turn.
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


def train(
    *,
    parallel: Parallel,
    step_function: Callable,
    state: TrainState,
    is_measured: bool,
    batches: Iterator[tuple[np.ndarray, Batch]],
    describe: Callable[[np.ndarray], str],
    schedule: Schedule,
    writer: Writer,
    evaluate: Callable[[dict], float | None],
    checkpoints: Checkpoints,
    about: dict,
    stop_signal: StopSignal,
    profile_dir: str | None = None,
) -> TrainState:
    """Runs from `state` to schedule.num_steps and returns the last state, on the host.

    Args:
      is_measured: False where `state` was saved without the validation mAP that is due, by a run that was stopped.
      batches: every batch from state.step on, on the devices, with the indices of this process's videos.
      describe: video indices -> the names to print when their loss is not finite.
      evaluate: variables -> validation mAP (None where there is no validation split); raises Stopped where asked to.
      about: what every checkpoint carries beside its arrays.
      stop_signal: where any process heard it, the state is saved and Stopped raised.
      profile_dir: where a trace of a few steps is written, for TensorBoard's profiler; None for no trace.
    """
    first_step = int(state.step)
    progress = Progress("train", schedule.num_steps, first_step, quiet=not checkpoints.writes)
    trace = StepTrace(profile_dir, first_step, schedule.num_steps)

    def save(step: int, host: TrainState) -> None:
        metric = stopped = None
        try:
            metric = evaluate(host.variables) if schedule.is_due(step) else None
        except Stopped as error:  # the run measures it when it goes on
            stopped = error
        if metric is not None:
            writer.write_scalars(step, {"validation/average_mAP": metric})
            progress.note(f"step {step}: validation average mAP {metric:.3f}")
        if metric is not None or step > first_step:
            checkpoints.save(step, host, about, metric)
        if stopped:
            raise stopped
        progress.restart_clock(step)

    with stop_signal.held(), _on_disk(checkpoints):
        if not is_measured:
            save(first_step, state)
        compiled, state = parallel.compile_step(step_function), parallel.replicate(state)
        pending = None  # checked one step late, so that the device never waits for the host
        for step, (videos, batch) in zip(range(first_step + 1, schedule.num_steps + 1), batches, strict=True):
            trace.before(step)
            stop = np.full(parallel.num_local_devices, stop_signal.requested, np.float32)
            state, scalars = compiled(state, (batch, parallel.shard(stop)))
            trace.after(step, state)
            stops = pending is not None and _check_finite(*pending, describe)["stop"] > 0
            pending = step, scalars, videos
            if schedule.is_logged(step):
                values = _check_finite(*pending, describe)
                progress.update(step, loss=values["loss/total"])
                del values["stop"]
                writer.write_scalars(step, values | {"steps_per_second": progress.steps_per_second})
            if stops or schedule.is_due(step):
                host = parallel.to_host(state)
                _check_finite(*pending, describe)
                _check_finite(step, _largest(host), videos, describe)
                save(step, host)
            if stops:
                raise Stopped(f"stopped by SIGTERM after step {step} of {schedule.num_steps}")
    return parallel.to_host(state)


class _NotFinite(Exception):
    """What was not finite, and in which step and videos."""


@contextlib.contextmanager
def _on_disk(checkpoints: Checkpoints):
    """However its block ends, what was saved is on disk afterwards; where all processes leave it together, before any
    of them goes on to what may end it."""
    try:
        yield
    except _NotFinite as error:
        _wait_for_all(checkpoints)
        raise InputError(
            f"{error}; last good checkpoint: {checkpoints.latest or 'none'}; look at these videos' features, or lower "
            "the learning rate"
        ) from None
    except Stopped:
        _wait_for_all(checkpoints)
        raise
    except BaseException:
        checkpoints.wait()
        raise
    _wait_for_all(checkpoints)


def _wait_for_all(checkpoints: Checkpoints) -> None:
    checkpoints.wait()
    processes.barrier()


def _largest(tree) -> dict[str, np.ndarray]:
    """The largest magnitude in every array, by name; NaN where there is one."""
    named = {jax.tree_util.keystr(path, simple=True, separator="/"): a for path, a in jax.tree.leaves_with_path(tree)}
    return {name: np.max(np.abs(array), initial=0) for name, array in named.items()}


def _check_finite(step: int, scalars: dict, videos: np.ndarray, describe) -> dict:
    """The scalars as floats; one that is not finite ends the run before anything is saved."""
    values = {name: float(np.asarray(value).reshape(-1)[0]) for name, value in scalars.items()}
    bad = [name for name, value in values.items() if not np.isfinite(value)]
    if bad:
        raise _NotFinite(f"step {step}: {', '.join(bad)} not finite; videos of the batch: {describe(videos)}")
    return values
