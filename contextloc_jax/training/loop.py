"""The training loop of any stage: take a batch, step, check, log, evaluate, save, stop."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np

from contextloc_jax.core.errors import InputError
from contextloc_jax.core.progress import Progress
from contextloc_jax.devices import processes
from contextloc_jax.devices.parallel import Parallel
from contextloc_jax.devices.preemption import Stopped, StopSignal
from contextloc_jax.training.step import TrainState
from contextloc_jax.training.step_trace import StepTrace
from contextloc_jax.workdir.checkpoints import Checkpoints


class Writer(Protocol):
    """A TensorBoard-like sink of scalars."""

    def write_scalars(self, step: int, scalars: dict[str, float]) -> None: ...


class Schedule(NamedTuple):
    """When the run ends, logs, and evaluates, in steps."""

    num_steps: int
    log_every: int
    evaluate_every: int

    def is_logged(self, step: int) -> bool:
        return step == self.num_steps or step % self.log_every == 0

    def is_due(self, step: int) -> bool:
        """Whether evaluation and saving are due."""
        return step == self.num_steps or step % self.evaluate_every == 0


class Taken(NamedTuple):
    """A step that was started on the devices and may still run: its scalars, and the example indices of its batch."""

    step: int
    scalars: dict[str, Any]
    indices: np.ndarray


@dataclass
class Run:
    """All that a run has from its first step to its last.

    step_function: made by training.step.make_train_step.
    about: what every checkpoint holds beside its arrays.
    validate: variables -> the metric on held-out examples; None if none are held out. It raises Stopped if asked to.
    metric: the name of that metric in logs.
    describe: example indices -> their names, for the message about a loss that is not finite.
    stop_signal: if any process receives it, the state is saved and Stopped is raised.
    profile_dir: where a trace of a few steps is written, for TensorBoard's profiler; None: no trace.
    """

    parallel: Parallel
    step_function: Callable
    schedule: Schedule
    writer: Writer
    checkpoints: Checkpoints
    about: dict
    validate: Callable[[dict], float | None]
    metric: str
    describe: Callable[[np.ndarray], str]
    stop_signal: StopSignal
    profile_dir: str | None = None

    def train(self, state: TrainState, batches: Iterator[tuple[np.ndarray, Any]], is_measured: bool) -> TrainState:
        """Runs from `state` to the last step of the schedule, and returns the last state, on the host.

        batches: every batch from state.step on, prepared and on the devices, with the indices of this process's
        examples. is_measured: False if the run that saved `state` was stopped before it measured the metric that was
        due.
        """
        first_step, last_step = int(state.step), self.schedule.num_steps
        self._progress = Progress("train", last_step, first_step, quiet=not self.checkpoints.writes)
        trace = StepTrace(self.profile_dir, first_step, last_step)
        with self.stop_signal.held(), _saved_whatever_happens(self.checkpoints):
            if not is_measured:
                self._evaluate_and_save(first_step, state, is_new=False)
            step_on_devices, state = self.parallel.compile_step(self.step_function), self.parallel.replicate(state)
            before = None  # checked one step late, so that the device never waits for the host
            for step, (indices, inputs) in zip(range(first_step + 1, last_step + 1), batches, strict=True):
                trace.before(step)
                state, scalars = step_on_devices(state, (inputs, self._stop_flags()))
                trace.after(step, state)
                stops = before is not None and self._finite(before)["stop"] > 0
                before = Taken(step, scalars, indices)
                if self.schedule.is_logged(step):
                    self._log(before)
                if stops or self.schedule.is_due(step):
                    self._evaluate_and_save(step, self._checked_on_host(state, before))
                if stops:
                    raise Stopped(f"stopped by SIGTERM after step {step} of {last_step}")
        return self.parallel.to_host(state)

    def _stop_flags(self) -> jax.Array:
        """Whether this process was asked to stop, on each of its devices. The step sums the flags of all devices."""
        flags = np.full(self.parallel.num_local_devices, self.stop_signal.requested, np.float32)
        return self.parallel.shard(flags)

    def _log(self, taken: Taken) -> None:
        values = self._finite(taken)
        del values["stop"]
        self._progress.update(taken.step, loss=values["loss/total"])
        self.writer.write_scalars(taken.step, values | {"steps_per_second": self._progress.steps_per_second})

    def _evaluate_and_save(self, step: int, state: TrainState, is_new: bool = True) -> None:
        """is_new: False if the state is on disk already. Then it is saved again only to add its metric."""
        metric = stopped = None
        try:
            metric = self.validate(state.variables) if self.schedule.is_due(step) else None
        except Stopped as error:  # the run will measure it when it is resumed
            stopped = error
        if metric is not None:
            self.writer.write_scalars(step, {f"validation/{self.metric}": metric})
            self._progress.note(f"step {step}: validation {self.metric.replace('_', ' ')} {metric:.3f}")
        if is_new or metric is not None:
            self.checkpoints.save(step, state, self.about, metric)
        if stopped:
            raise stopped
        self._progress.restart_clock(step)

    def _checked_on_host(self, state: TrainState, taken: Taken) -> TrainState:
        """The state on the host, after a check that all its arrays are finite."""
        host = self.parallel.to_host(state)
        self._finite(taken)
        self._finite(taken._replace(scalars=_largest(host)))
        return host

    def _finite(self, taken: Taken) -> dict[str, float]:
        """The scalars as floats. One that is not finite ends the run before anything is saved."""
        values = {name: float(np.asarray(value).reshape(-1)[0]) for name, value in taken.scalars.items()}
        bad = [name for name, value in values.items() if not np.isfinite(value)]
        if bad:
            raise _NotFinite(
                f"step {taken.step}: {', '.join(bad)} not finite; videos of the batch: {self.describe(taken.indices)}"
            )
        return values


class _NotFinite(Exception):
    """A value is not finite. The message names it, the step and the videos."""


@contextlib.contextmanager
def _saved_whatever_happens(checkpoints: Checkpoints):
    """However its block ends, all saved checkpoints are on disk afterwards. If all processes leave the block together,
    each waits for the others, because what follows may end the run."""
    try:
        yield
    except _NotFinite as error:
        _wait_for_all(checkpoints)
        raise InputError(
            f"{error}; last good checkpoint: {checkpoints.latest or 'none'}; check the features of these videos, or "
            "lower the learning rate"
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
    """The largest magnitude in every array, by name; NaN if an array holds one."""
    named = {jax.tree_util.keystr(path, simple=True, separator="/"): a for path, a in jax.tree.leaves_with_path(tree)}
    return {name: np.max(np.abs(array), initial=0) for name, array in named.items()}
