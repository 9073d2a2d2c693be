"""The train step, and the loop that reads a batch, steps, logs, evaluates and saves."""

import contextlib
from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

import jax
import numpy as np

from contextloc_jax.core.errors import InputError
from contextloc_jax.core.progress import Progress
from contextloc_jax.core.structs import Batch
from contextloc_jax.devices import processes
from contextloc_jax.devices.parallel import Parallel
from contextloc_jax.devices.preemption import Stopped, StopSignal
from contextloc_jax.training.step import (
    TrainState,
)
from contextloc_jax.training.step_trace import StepTrace
from contextloc_jax.workdir.checkpoints import Checkpoints


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
