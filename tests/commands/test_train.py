"""Train from a configuration to files, on tiny videos in memory (helpers/tiny_runs.py)."""

import json
import re
import time
from collections import Counter

import jax
import numpy as np
import pytest

from contextloc_jax.core.errors import InputError
from contextloc_jax.devices.kinds import KINDS
from contextloc_jax.workdir.checkpoints import Checkpoints
from contextloc_jax.workdir.scalar_log import read_curves
from tests.helpers.run_results import RESULTS, assert_identical, contents, restored
from tests.helpers.tiny_runs import CLASSES, NUM_STEPS, STEPS_PER_EPOCH, TinyInputs, tiny_settings, tiny_source, train

pytestmark = pytest.mark.usefixtures("quick_compiler")


def test_a_run_leaves_what_the_readme_lists(finished):
    for name in (*RESULTS, "config.json", "scalars.jsonl", "checkpoints"):
        assert (finished / name).exists(), name
    metrics = json.loads((finished / "metrics.json").read_text())
    assert metrics["protocol"] == "thumos14" and metrics["videos"] == 2
    assert list(metrics["mAP"]) == ["0.1", "0.2", "0.3", "0.4", "0.5", "0.6", "0.7", "0.8", "0.9"]
    assert 0 < metrics["average_mAP"] <= 1 and sorted(metrics["AP"]) == CLASSES
    assert metrics["data"]["identity"] == tiny_source("test", 2).identity
    assert not [path for path in finished.rglob("*") if "part" in path.name or "tmp" in path.name]


def test_no_result_holds_the_place_of_the_run(finished):
    for name in ("metrics.json", "detections.json", "config.json"):
        assert str(finished) not in (finished / name).read_text()


def test_training_learns(finished):
    _, losses = read_curves(finished)["loss/total"]
    assert np.mean(losses[-3:]) < 0.95 * np.mean(losses[:3])


def test_curves_have_every_loss_and_the_validation(finished):
    curves = read_curves(finished)
    names = {"loss/activity", "loss/completeness", "loss/regression", "loss/total"}
    assert curves.keys() == names | {"gradient_norm", "learning_rate", "steps_per_second", "validation/average_mAP"}
    assert curves["loss/total"][0] == list(range(2, NUM_STEPS + 1, 2))
    assert curves["validation/average_mAP"][0] == [4, 8, 12]
    assert curves["learning_rate"][1] == pytest.approx([0.01] * 4 + [0.001] * 2)


def test_best_is_the_checkpoint_with_the_highest_validation_map(finished):
    steps, values = read_curves(finished)["validation/average_mAP"]
    reader = Checkpoints(finished)
    best = reader.restore("best").step
    assert len(set(values)) == 3 and best == steps[int(np.argmax(values))] != reader.latest
    assert [reader.about(step)["metric"] for step in steps] == pytest.approx(values)


def test_a_finished_run_only_evaluates(finished):
    before = contents(finished, (*RESULTS, "scalars.jsonl", "config.json"))
    state = restored(finished)
    inputs, _ = train(finished)
    assert contents(finished, before) == before
    assert inputs.steps == [] and inputs.prepared == [str(finished)]  # whose summary is printed once
    assert_identical(restored(finished), state)


def test_the_same_seed_gives_the_same_run(finished, tmp_path):
    train(tmp_path)
    same = ("scores.npz", "detections.json", "metrics.json", "config.json")
    assert contents(tmp_path, same) == contents(finished, same)
    assert_identical(restored(tmp_path), restored(finished))


def test_another_seed_gives_another_run(finished, tmp_path):
    train(tmp_path, seed=1)
    first, other = restored(finished), restored(tmp_path)
    assert first["step"] == other["step"] == NUM_STEPS
    assert not np.array_equal(first["params"]["l_net"]["query"], other["params"]["l_net"]["query"])
    assert contents(tmp_path)["scores.npz"] != contents(finished)["scores.npz"]


class Interrupted(Exception):
    """Stands for whatever ends a process between two steps."""


def interrupted_at(stop, workdir):
    """A change of batches that ends the run before batch `stop`, when the last checkpoint before it is on disk."""
    checkpoint = workdir / "checkpoints" / str(stop // STEPS_PER_EPOCH * STEPS_PER_EPOCH)

    def change(step, batch):
        if step < stop:
            return batch
        patience = time.monotonic() + 30
        while stop >= STEPS_PER_EPOCH and not checkpoint.is_dir() and time.monotonic() < patience:
            time.sleep(0.01)
        raise Interrupted

    return change


def test_a_run_that_was_interrupted_ends_bit_for_bit_as_one_that_was_not(finished, tmp_path, capsys):
    taken = []
    for stop in (2, 6, 11):
        steps, change = [], interrupted_at(stop, tmp_path)

        def noted(step, batch, steps=steps, change=change):
            batch = change(step, batch)
            steps.append(step)
            return batch

        with pytest.raises(Interrupted):
            train(tmp_path, noted)
        taken.append(steps)
    inputs, _ = train(tmp_path)
    assert [*taken, inputs.steps] == [[0, 1], [0, 1, 2, 3, 4, 5], [4, 5, 6, 7, 8, 9, 10], [8, 9, 10, 11]]
    assert f"resuming at step 8 of {NUM_STEPS}" in capsys.readouterr().out
    assert_identical(restored(tmp_path), restored(finished))
    assert contents(tmp_path, ("scores.npz", "metrics.json")) == contents(finished, ("scores.npz", "metrics.json"))
    curves, expected = read_curves(tmp_path), read_curves(finished)
    assert curves.keys() == expected.keys()
    assert all(curves[name] == expected[name] for name in curves if name != "steps_per_second")


def test_another_config_is_refused_key_by_key(finished):
    before = contents(finished, (*RESULTS, "config.json"))
    with pytest.raises(InputError) as error:
        train(finished, seed=3, optimizer__momentum=0.5)
    assert "optimizer.momentum is 0.5, expected 0.9; seed is 3, expected 5;" in str(error.value)
    assert contents(finished, before) == before


def test_a_loss_that_is_not_finite_names_step_and_videos_and_keeps_what_was_good(tmp_path):
    def change(step, batch):
        return batch._replace(features=batch.features * np.nan) if step == 5 else batch

    with pytest.raises(InputError) as error:
        train(tmp_path, change)
    videos = ", ".join([r"train\d"] * 4)
    assert re.match(rf"step 6: .*loss/activity.* not finite; videos of the batch: {videos}; [^\n]*$", str(error.value))
    assert [folder.name for folder in (tmp_path / "checkpoints").iterdir()] == ["4"]
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(restored(tmp_path)))
    assert not (tmp_path / "metrics.json").exists()


def test_a_fixed_mistake_is_not_held_against_the_run(tmp_path):
    for size in (100, 200):
        with pytest.raises(InputError, match=rf"do not fill a batch of {size}; lower config\.batch_size"):
            train(tmp_path, batch_size=size)


def test_without_validation_videos_the_latest_is_evaluated(tmp_path, capsys):
    train(tmp_path, num_videos=4, data__validation_fraction=0.0, num_epochs=2)
    assert "validation/average_mAP" not in read_curves(tmp_path)
    assert "checkpoint 8, 2 test videos" in capsys.readouterr().out


def test_tensorboard_gets_what_the_curves_hold(whole_run):
    workdir, (writer,) = whole_run
    assert writer.workdir == str(workdir)
    losses = [(step, scalars["loss/total"]) for step, scalars in writer.written if "loss/total" in scalars]
    assert losses == list(zip(*read_curves(workdir)["loss/total"], strict=True))


@pytest.mark.parametrize("kind", ["shard_map", "pmap"])
def test_the_step_is_compiled_once_and_scoring_once_a_bucket(tmp_path, monkeypatch, kind):
    """Functions are traced once, and from the second step on nothing is compiled but the first evaluation."""
    traced, compiled, listening = Counter(), [], [True]

    def counted(name, compile_it):
        def compile_counted(parallel, function):
            def traced_function(*arguments):
                traced[name] += 1
                return function(*arguments)

            return compile_it(parallel, traced_function)

        return compile_counted

    def note(event, seconds, **details):
        if listening and event == "/jax/core/compile/backend_compile_duration":
            compiled[-1] += 1

    def change(step, batch):
        compiled.append(0)  # compilations from here to the next batch
        return batch

    jax.monitoring.register_event_duration_secs_listener(note)
    for name in ("compile_rows", "compile_step", "compile_scoring"):
        monkeypatch.setattr(KINDS[kind], name, counted(name, getattr(KINDS[kind], name)))
    compiled.append(0)
    train(tmp_path, change, parallel=kind)
    listening.clear()
    # Validation and the test are of one bucket each.
    assert traced == {"compile_rows": 1, "compile_step": 1, "compile_scoring": 2}
    first, second, third, *evaluated = compiled[1:7]  # before them: the first state; batches are read one ahead
    assert first + second >= 2 and third == 0 and sum(evaluated) >= 1
    assert not any(compiled[7:-1])  # the last: the test's predictor


@pytest.fixture(scope="module")
def refitted(tmp_path_factory):
    """The workdir of a run that trains again on all videos."""
    workdir = tmp_path_factory.mktemp("refitted")
    train(workdir, refit=True)
    return workdir


def test_refit_trains_on_all_videos_for_as_many_epochs_as_were_best_on_the_held_out(refitted, finished):
    selection, final = Checkpoints(refitted / "selection"), Checkpoints(refitted)
    assert_identical(selection.restore("best").state, restored(finished, "best"))
    inputs = TinyInputs(tiny_settings())
    everything = inputs.training_data(None, hold_out=False)
    num_epochs = selection.restore("best").step // STEPS_PER_EPOCH
    assert final.latest == num_epochs * inputs.steps_per_epoch(everything.train)
    assert final.about(final.latest)["regression_stats"] == everything.regression_stats.tolist()
    assert contents(refitted)["scores.npz"] != contents(finished)["scores.npz"]


def test_refit_that_was_interrupted_ends_bit_for_bit_as_one_that_was_not(refitted, tmp_path):
    (tmp_path / "selection").mkdir()
    with pytest.raises(Interrupted):
        train(tmp_path, interrupted_at(6, tmp_path / "selection"), refit=True)
    refit = []

    def change(step, batch):
        refit.extend([step] if step == 0 else [])  # the selection goes on from a later step
        if refit and step == 5:
            raise Interrupted
        return batch

    with pytest.raises(Interrupted):
        train(tmp_path, change, refit=True)
    assert Checkpoints(tmp_path / "selection").latest == NUM_STEPS and not Checkpoints(tmp_path).steps()
    train(tmp_path, refit=True)
    assert_identical(restored(tmp_path), restored(refitted))
    assert contents(tmp_path, ("scores.npz", "metrics.json")) == contents(refitted, ("scores.npz", "metrics.json"))


def test_refit_without_held_out_videos_is_one_line(tmp_path):
    with pytest.raises(InputError, match="validation_fraction"):
        train(tmp_path, refit=True, data__validation_fraction=0.0)
    assert not list(tmp_path.iterdir())
