"""From files of the user's own to detections: train, evaluate and predict, by paths only."""

import json

import pytest

from contextloc_jax.commands.evaluate import evaluate as evaluate_command
from contextloc_jax.core.errors import InputError
from tests.helpers.custom_files import SPLITS, settings_and_inputs, write_dataset
from tests.helpers.custom_runs import train, trained_on_pgcn_files

pytestmark = pytest.mark.usefixtures("quick_compiler")


def test_a_pgcn_folder_trains_by_paths_only(kept_runs):
    _, workdir, metrics = trained_on_pgcn_files(kept_runs)
    assert metrics["videos"] == SPLITS["test"] and set(metrics["AP"]) == {"1", "2"}
    assert (workdir / "report.html").exists() and (workdir / "data_report.json").exists()
    assert json.loads((workdir / "data_report.json").read_text())["dataset"] == "custom"


def test_features_rescaled_to_bins_train(tmp_path):
    keys = write_dataset(tmp_path / "files", "csv")
    metrics = train(keys, tmp_path / "run", data__num_bins=16, detection__protocol="activitynet")
    assert metrics["protocol"] == "activitynet"
    with pytest.raises(InputError, match=r"data\.num_bins is 0, expected 16"):
        settings, inputs = settings_and_inputs(keys)
        evaluate_command(settings, str(tmp_path / "run"), inputs)
