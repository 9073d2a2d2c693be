"""The loop on a step that adds up its batches: what it takes, logs, saves, and how it stops."""

import contextlib
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from contextloc_jax.core.errors import InputError
from contextloc_jax.devices.mesh import MeshParallel
from contextloc_jax.devices.parallel import AXIS
from contextloc_jax.devices.preemption import NO_SIGNAL, Stopped
from contextloc_jax.localization.contextloc import smallest_batch
from contextloc_jax.localization.objective import training_inputs, training_loss
from contextloc_jax.training.loop import Run, Schedule
from contextloc_jax.training.step import TrainState, initial_state, loss_gradients
from tests.helpers.compiling import quickly_compiled
from tests.helpers.random_videos import largest_difference
from tests.helpers.tiny_runs import SilentWriter
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
