"""From files of the user's own to detections: train, evaluate and predict, by paths only."""

import dataclasses
import json
import os
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest

from contextloc_jax.commands.evaluate import evaluate as evaluate_command
from contextloc_jax.commands.predict import predict as predict_command
from contextloc_jax.commands.train import train as train_command
from contextloc_jax.core.errors import InputError
from contextloc_jax.interchange.detection_files import read_detections
from input_pipeline.formats.proposal_list import read_proposal_list, write_proposal_list
from tests.formats.test_tensor_files import legacy, tensor_pickle
from tests.helpers.custom_files import SPLITS, settings_and_inputs, write_dataset
from tests.helpers.published import FPS
from tests.helpers.thumos_files import write_thumos
from tests.helpers.tiny_runs import SilentWriter

pytestmark = pytest.mark.usefixtures("quick_compiler")


def train(keys, workdir, **changes):
    settings, inputs = settings_and_inputs(keys, **changes)
    train_command(settings, str(workdir), inputs, SilentWriter)
    return json.loads((workdir / "metrics.json").read_text())


def predict(keys, workdir, **changes):
    settings, inputs = settings_and_inputs(keys, **changes)
    predict_command(settings, str(workdir), inputs)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A P-GCN folder (torch files by bare name, two lists) and the workdir of a run on it."""
    folder = tmp_path_factory.mktemp("pgcn")
    keys = write_dataset(folder / "files")
    for split in SPLITS:
        for path in list(Path(keys[f"{split}_features"]).iterdir()):
            array = np.load(path)
            columns = array.shape[1]
            data = struct.pack("<q", array.size) + array.tobytes()
            described = tensor_pickle(count=array.size, shape=array.shape, strides=(columns, 1))
            path.with_suffix("").write_bytes(legacy(described, pickle.dumps(["0"], 2), data))
            path.unlink()
    metrics = train(keys, folder / "run")
    return keys, folder / "run", metrics


def test_a_pgcn_folder_trains_by_paths_only(trained):
    _, workdir, metrics = trained
    assert metrics["videos"] == SPLITS["test"] and set(metrics["AP"]) == {"1", "2"}
    assert (workdir / "report.html").exists() and (workdir / "data_report.json").exists()
    assert json.loads((workdir / "data_report.json").read_text())["dataset"] == "custom"


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


def test_features_rescaled_to_bins_train(tmp_path):
    keys = write_dataset(tmp_path / "files", "csv")
    metrics = train(keys, tmp_path / "run", data__num_bins=16, detection__protocol="activitynet")
    assert metrics["protocol"] == "activitynet"
    with pytest.raises(InputError, match=r"data\.num_bins is 0, expected 16"):
        settings, inputs = settings_and_inputs(keys)
        evaluate_command(settings, str(tmp_path / "run"), inputs)


def test_small_synthetic_data_train(tmp_path):
    small = {"train_videos": 4, "test_videos": 2, "feature_width": 8, "shortest_snippets": 30, "longest_snippets": 60,
             "num_proposals": 40}  # fmt: skip
    keys = {"dataset": "synthetic", "num_classes": 3} | {f"synthetic.{name}": size for name, size in small.items()}
    assert train(keys, tmp_path / "run")["videos"] == 2


def test_real_thumos14_annotations_train(tmp_path):
    """A few of the videos; all 413: python -m tests.helpers.thumos_files."""
    path = Path(os.environ.get("CONTEXTLOC_DATA", "absent")) / "thumos14_annotations.json"
    if not path.is_file():
        pytest.skip("CONTEXTLOC_DATA is unset, or lacks the THUMOS14 annotations")
    keys = write_thumos(path, tmp_path / "files", width=8, videos_per_split=6)
    metrics = train(keys | {"dataset": "thumos14", "num_classes": 20}, tmp_path / "run", data__fps=30.0)
    report = json.loads((tmp_path / "run" / "data_report.json").read_text())["splits"]
    assert [report[split]["kept"] for split in SPLITS] == [6, 6] and metrics["videos"] == 6
    assert all(not report[split][key] for split in SPLITS for key in ("length_mismatch", "missing_proposals"))
    assert report["train"]["recall"]["0.5"] > 0.9
