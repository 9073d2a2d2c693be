"""Detections in videos that nobody annotated: those that evaluate finds, and what is refused."""

import dataclasses

import numpy as np
import pytest

from contextloc_jax.commands.predict import predict as predict_command
from contextloc_jax.core.errors import InputError
from contextloc_jax.interchange.detection_files import read_detections
from input_pipeline.formats.proposal_list import read_proposal_list, write_proposal_list
from tests.helpers.custom_files import write_dataset
from tests.helpers.custom_runs import predict, train, trained_on_pgcn_files
from tests.helpers.published import FPS
from tests.helpers.tiny_runs import TinyInputs, tiny_settings

pytestmark = pytest.mark.usefixtures("quick_compiler")


@pytest.fixture(scope="module")
def trained(quick_compiler, kept_runs):
    return trained_on_pgcn_files(kept_runs)


def test_predict_needs_no_ground_truth_and_finds_what_evaluate_found(trained, tmp_path):
    keys, workdir, _ = trained
    evaluated = (workdir / "detections.json").read_bytes()
    none = np.zeros(0, np.int64)
    records = [
        dataclasses.replace(
            record, gt_labels=none, gt_segments=none.reshape(0, 2), proposal_labels=record.proposal_labels * 0,
            proposal_tiou=record.proposal_tiou * 0, proposal_overlap_self=record.proposal_overlap_self * 0,
        )
        for record in read_proposal_list(keys["test_proposals"], FPS)
    ]  # fmt: skip
    write_proposal_list(tmp_path / "unlabeled.txt", records)
    own = {name: keys[name] for name in ("num_classes", "test_features")}
    report = (workdir / "report.html").read_bytes()
    predict(own | {"test_proposals": str(tmp_path / "unlabeled.txt")}, workdir)
    folder = workdir / "predictions"
    assert (folder / "detections.json").read_bytes() == (workdir / "detections.json").read_bytes() == evaluated
    assert (workdir / "report.html").read_bytes() == report  # evaluate's own
    table, objects = (read_detections(folder / f"detections.{suffix}") for suffix in ("csv", "json"))
    np.testing.assert_array_equal(table.segments, objects.segments)
    np.testing.assert_array_equal(table.scores, objects.scores)
    assert "average mAP" not in (folder / "report.html").read_text()


def test_predict_refuses_another_model_and_data_that_is_built_in(trained):
    keys, workdir, _ = trained
    with pytest.raises(InputError, match=r"model\.graph_width is 8, expected 4"):
        predict(keys, workdir, model__graph_width=8)
    with pytest.raises(InputError, match=r"^config\.data\.dataset is 'shoulder'[^\n]*config\.data\.dataset=custom"):
        predict(keys, workdir, data__dataset="shoulder")
    with pytest.raises(InputError, match=r"^config\.data\.test_proposals is not set"):
        predict({"num_classes": 2}, workdir)


def test_annotations_name_the_classes_of_predictions(tmp_path):
    keys = write_dataset(tmp_path / "files", "csv")
    metrics = train(keys, tmp_path / "run")
    assert set(metrics["AP"]) == {"lift", "turn"}
    own = {name: keys[name] for name in ("num_classes", "test_features", "test_proposals")}
    predict(own, tmp_path / "run")
    assert set(read_detections(tmp_path / "run" / "predictions" / "detections.json").labels) == {"lift", "turn"}


def test_predict_needs_no_checkpoint_to_refuse_the_oracle(tmp_path):
    with pytest.raises(InputError, match="'oracle', but these videos have no annotations"):
        settings = tiny_settings(detection__class_scores="oracle")
        predict_command(settings, str(tmp_path), TinyInputs(settings))
