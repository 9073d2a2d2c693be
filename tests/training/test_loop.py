"""The loop on a step that adds up its batches: what it takes, logs, saves, and how it stops."""

import contextlib
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from contextloc_jax.core.errors import InputError
from contextloc_jax.devices.mesh import MeshParallel
from contextloc_jax.devices.parallel import AXIS
from contextloc_jax.devices.preemption import NO_SIGNAL, Stopped
from contextloc_jax.training.loop import Run, Schedule
from contextloc_jax.training.step import TrainState
from tests.helpers.tiny_runs import SilentWriter

pytestmark = pytest.mark.usefixtures("quick_compiler")
VIDEOS = 3  # of a batch of the loop


class Saves:
    """Checkpoints that remember."""

    writes, latest = True, None

    def __init__(self):
        self.saved, self.waited = [], False

    def save(self, step, state, about, metric):
        self.saved.append((step, int(state.step), about, metric))
        self.latest = step

    def wait(self):
        self.waited = True


class Finished(NamedTuple):
    """What a run of the loop left behind."""

    state: TrainState
    written: list
    saved: list
    evaluated: list


def counting_step(state, inputs):
    """Adds up the batches, so that a test can see which ones were taken."""
    batch, stop = inputs
    total = jax.lax.psum(batch.sum(), AXIS)
    params = jax.tree.map(lambda a: a + total, state.params)
    return TrainState(state.step + 1, params, state.batch_stats, state.opt_state), {
        "loss/total": total,
        "stop": jax.lax.psum(stop[0], AXIS),
    }


def numbered_batches(first_step, num_steps, spoil=None):
    """Batch number s holds s + 1 in every row; step `spoil` (counted from 1) has a row that is not finite."""
    for number in range(first_step, num_steps):
        batch = np.full(VIDEOS, number + 1, np.float32)
        if number + 1 == spoil:
            batch[1] = np.nan
        yield np.arange(VIDEOS) + 10 * (number + 1), batch


def run_loop(
    num_steps=10,
    first_step=0,
    log_every=4,
    evaluate_every=5,
    metric=0.5,
    spoil=None,
    saves=None,
    step_function=counting_step,
    profile_dir=None,
    is_measured=True,
    stop_signal=NO_SIGNAL,
    batches=None,
    evaluate=None,
):
    writer, saves, evaluated = SilentWriter(), saves or Saves(), []

    def note(variables):
        evaluated.append(float(variables["params"]["total"]))
        return metric

    state, parallel = TrainState(np.int32(first_step), {"total": np.float32(0)}, {}, ()), MeshParallel()
    batches = batches or numbered_batches(first_step, num_steps, spoil)
    run = Run(
        parallel=parallel,
        step_function=step_function,
        describe=lambda videos: ", ".join(f"video {index}" for index in videos),
        schedule=Schedule(num_steps, log_every, evaluate_every),
        writer=writer,
        validate=evaluate or note,
        metric="average_mAP",
        checkpoints=saves,
        about={"name": "counting"},
        stop_signal=stop_signal,
        profile_dir=profile_dir,
    )
    last = run.train(state, ((videos, parallel.shard(batch)) for videos, batch in batches), is_measured)
    return Finished(last, writer.written, saves.saved, evaluated)


def test_every_batch_is_taken_once():
    state = run_loop().state
    assert state.step == 10 and state.params["total"] == VIDEOS * sum(range(1, 11))
    assert all(type(leaf) is np.ndarray for leaf in jax.tree.leaves(state))


def test_scalars_are_written_when_asked_and_at_the_end():
    written = [(step, scalars["loss/total"]) for step, scalars in run_loop().written if "loss/total" in scalars]
    assert written == [(4, 3 * 4), (8, 3 * 8), (10, 3 * 10)]
    assert all("steps_per_second" in scalars for _, scalars in run_loop(metric=None).written)


@pytest.mark.parametrize("num_steps, evaluate_every, expected", [(10, 5, [5, 10]), (7, 3, [3, 6, 7]), (4, 10, [4])])
def test_evaluates_and_saves_when_asked_and_at_the_end(num_steps, evaluate_every, expected):
    run = run_loop(num_steps, evaluate_every=evaluate_every, metric=0.25)
    assert run.saved == [(step, step, {"name": "counting"}, 0.25) for step in expected]
    assert run.evaluated == [VIDEOS * sum(range(1, step + 1)) for step in expected]
    validations = [(step, s["validation/average_mAP"]) for step, s in run.written if "validation/average_mAP" in s]
    assert validations == [(step, 0.25) for step in expected]


def test_without_validation_videos_it_saves_all_the_same():
    run = run_loop(metric=None)
    assert [(step, metric) for step, _, _, metric in run.saved] == [(5, None), (10, None)]
    assert not any("validation/average_mAP" in scalars for _, scalars in run.written)


def test_waits_until_everything_is_on_disk():
    saves = Saves()
    run_loop(saves=saves)
    assert saves.waited


def test_a_resumed_loop_takes_the_remaining_steps_only():
    run = run_loop(first_step=5)
    assert run.state.step == 10 and run.state.params["total"] == VIDEOS * sum(range(6, 11))
    assert [step for step, *_ in run.saved] == [10]


@pytest.mark.parametrize(
    "first_step, num_steps, expected",
    [(0, 10, ["start 3", "stop 8"]), (4, 20, ["start 7", "stop 12"]), (0, 6, ["start 3", "stop 6"]), (7, 10, [])],
)
def test_a_trace_is_of_a_few_steps_after_the_first_and_is_ended_with_the_run(
    monkeypatch, first_step, num_steps, expected
):
    taken, events = [first_step], []

    def step(state, inputs):
        jax.debug.callback(lambda step: taken.append(int(step)), state.step + 1)
        return counting_step(state, inputs)

    def note(event):
        jax.effects_barrier()
        events.append(f"{event} {max(taken)}")

    monkeypatch.setattr(jax.profiler, "start_trace", lambda folder: note("start") if folder == "traces" else None)
    monkeypatch.setattr(jax.profiler, "stop_trace", lambda: note("stop"))
    run_loop(num_steps, first_step, step_function=step, profile_dir="traces")
    assert events == expected
    assert run_loop(10, step_function=step).state.step == 10 and events == expected


@pytest.mark.parametrize("spoil, kept", [(1, []), (4, []), (5, []), (6, [5]), (9, [5]), (10, [5])])
@pytest.mark.parametrize("log_every", [1, 100])
def test_a_loss_that_is_not_finite_names_its_step_and_videos_and_is_not_saved(spoil, kept, log_every):
    saves = Saves()
    with pytest.raises(InputError) as error:
        run_loop(spoil=spoil, saves=saves, log_every=log_every)
    videos = ", ".join(f"video {10 * spoil + row}" for row in range(VIDEOS))
    assert str(error.value).startswith(f"step {spoil}: loss/total not finite; videos of the batch: {videos}; ")
    assert "\n" not in str(error.value)
    assert [step for step, *_ in saves.saved] == kept


def test_a_state_that_is_not_finite_is_not_saved_though_the_loss_is():
    """As BatchNorm's variance of huge features, which normalizes them to a harmless zero."""

    def overflowing_step(state, inputs):
        state, scalars = counting_step(state, inputs)
        return state._replace(params={"total": jnp.where(state.step == 7, jnp.inf, state.params["total"])}), scalars

    saves = Saves()
    with pytest.raises(InputError, match=r"^step 10: params/total not finite; videos of the batch: video 100, "):
        run_loop(step_function=overflowing_step, saves=saves)
    assert [step for step, *_ in saves.saved] == [5]


def test_what_was_saved_before_is_on_disk_when_a_loss_is_not_finite():
    saves = Saves()
    with pytest.raises(InputError):
        run_loop(spoil=7, saves=saves)
    assert saves.waited


class Asked:
    """A StopSignal that is heard when batch `step` (counted from 1) is taken, or when told to."""

    held = staticmethod(contextlib.nullcontext)

    def __init__(self):
        self.requested = False


@pytest.mark.parametrize("step, expected", [(1, [2]), (6, [5, 7]), (4, [5]), (9, [5, 10])])
def test_a_run_that_is_asked_to_stop_saves_first_and_loses_nothing(step, expected):
    saves, signal = Saves(), Asked()

    def spoken(first_step, num_steps):
        for number, item in enumerate(numbered_batches(first_step, num_steps), first_step + 1):
            signal.requested = number >= step
            yield item

    with pytest.raises(Stopped, match=rf"^stopped by SIGTERM after step {expected[-1]} of 10$"):
        run_loop(batches=spoken(0, 10), saves=saves, stop_signal=signal)
    assert [saved for saved, *_ in saves.saved] == expected and saves.waited
    signal.requested = False
    run = run_loop(first_step=expected[-1])
    assert run.state.params["total"] == VIDEOS * sum(range(expected[-1] + 1, 11))


def test_an_evaluation_that_was_stopped_is_made_up_for_at_the_next_start():
    saves = Saves()

    def stopped(variables):
        raise Stopped("during an evaluation")

    with pytest.raises(Stopped):
        run_loop(saves=saves, evaluate=stopped)
    assert [(step, metric) for step, _, _, metric in saves.saved] == [(5, None)] and saves.waited
    run = run_loop(first_step=5, is_measured=False)
    assert [(step, metric) for step, _, _, metric in run.saved] == [(5, 0.5), (10, 0.5)]
