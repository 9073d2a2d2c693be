"""Evaluate: the same files byte for byte, of the checkpoint that is asked for, or one line that says why not."""

import json
import shutil
from dataclasses import replace

import pytest

from contextloc_jax.commands import trained
from contextloc_jax.commands.settings import ADDED_KEYS
from contextloc_jax.commands.train import train as train_command
from contextloc_jax.core.errors import InputError
from contextloc_jax.core.progress import Progress
from contextloc_jax.interchange.score_files import load_ground_truth, load_scores
from contextloc_jax.workdir.checkpoints import Checkpoints
from tests.helpers.run_results import RESULTS, contents
from tests.helpers.tiny_runs import CLASSES, SilentWriter, TinyInputs, evaluate, tiny_settings, train

pytestmark = pytest.mark.usefixtures("quick_compiler")


def test_evaluate_gives_the_same_files_byte_for_byte(finished):
    before = contents(finished)
    for name in RESULTS:
        (finished / name).unlink()
    evaluate(finished)
    assert contents(finished) == before


def test_evaluate_takes_the_checkpoint_it_is_told(finished):
    best = contents(finished)
    latest_step, best_step = (Checkpoints(finished).restore(which).step for which in ("latest", "best"))
    evaluate(finished, "latest")
    latest = contents(finished)
    assert latest["scores.npz"] != best["scores.npz"]
    evaluate(finished, str(latest_step))
    assert contents(finished)["scores.npz"] == latest["scores.npz"]
    evaluate(finished, str(best_step))
    assert contents(finished) == best


def test_evaluate_multiplies_by_class_scores(finished, tmp_path):
    """A file that knows one class; training's own validation videos are not in it and do not need it."""
    before, path = contents(finished), tmp_path / "classes.json"
    path.write_text(json.dumps({video.video_id: {CLASSES[0]: 0.5} for video in load_scores(finished / "scores.npz")}))
    evaluate(finished, detection__class_scores=str(path), detection__class_top_k=1)
    metrics = json.loads((finished / "metrics.json").read_text())
    assert metrics["class_scores"] == {"source": "classes.json", "top_k": 1}
    assert metrics["AP"][CLASSES[0]]["0.1"] > 0 and metrics["AP"][CLASSES[1]]["0.1"] == 0
    evaluate(finished)
    assert contents(finished) == before
    train(tmp_path / "run", detection__class_scores=str(path), num_epochs=1)


def test_evaluate_refuses_another_model_and_takes_another_batch_size(finished):
    with pytest.raises(
        InputError, match=r"checkpoint \d+ was made with another config: model\.graph_width is 6, expected 4"
    ):
        evaluate(finished, model__graph_width=6)
    with pytest.raises(InputError, match=r"data\.snippet_stride is 4, expected 8"):
        evaluate(finished, data__snippet_stride=4)
    before = contents(finished)
    evaluate(finished, batch_size=8, num_epochs=7, keep_checkpoints=1)
    assert contents(finished)["metrics.json"] == before["metrics.json"]


def test_a_finished_run_is_evaluated_with_other_settings_of_detections_and_of_retrieval(finished):
    """They are no part of a checkpoint's identity; what they change goes back with them."""
    before = contents(finished)
    evaluate(finished, detection__top_k=3, model__retrieval="plain")
    assert contents(finished)["detections.json"] != before["detections.json"]
    evaluate(finished)
    assert contents(finished) == before


def test_a_workdir_of_an_earlier_version_is_evaluated_and_goes_on(tmp_path):
    """Its checkpoints and config.json lack the keys that were added since."""
    settings = tiny_settings(num_epochs=1)
    old = {key: value for key, value in settings.flat.items() if key not in ADDED_KEYS}
    train_command(replace(settings, flat=old), str(tmp_path), TinyInputs(settings), SilentWriter)
    assert json.loads((tmp_path / "config.json").read_text()) == old != settings.flat
    before = contents(tmp_path)
    evaluate(tmp_path, num_epochs=1)
    assert contents(tmp_path) == before
    train(tmp_path, num_epochs=1)
    assert contents(tmp_path) == before


def test_evaluate_without_a_checkpoint_is_one_line_and_leaves_nothing(tmp_path):
    with pytest.raises(InputError, match=r"^[^\n]*no checkpoints here; train first"):
        evaluate(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


def test_scores_hold_every_test_video(finished):
    videos = load_scores(finished / "scores.npz")
    assert [video.video_id for video in videos] == load_ground_truth(finished / "scores.npz").video_ids
    assert [video.video_id for video in videos] == ["test0", "test1"]


def test_a_long_evaluation_says_how_long(finished, tmp_path, monkeypatch, capsys):
    shutil.copytree(finished, tmp_path / "run")
    monkeypatch.setattr(trained, "Progress", lambda *counts, after_seconds, **quiet: Progress(*counts, **quiet))
    evaluate(tmp_path / "run")
    assert capsys.readouterr().err.splitlines()[-1].startswith("evaluate 2/2 ")
