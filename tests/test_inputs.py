"""What a run asks of its data: every value is read, and the dataset's classes must be those of the settings."""

import importlib
import json
from types import SimpleNamespace

import pytest

from configs import default
from contextloc_jax.commands.settings import read_settings
from contextloc_jax.core.errors import InputError
from contextloc_jax.workdir.config_file import flatten
from input_pipeline.datasets import registry
from input_pipeline.inputs import Inputs
from tests.helpers.recorded_mapping import Recorded
from tests.helpers.tiny_runs import tiny_settings

FLAT = flatten(default.get_config())
DATASETS = {name: importlib.import_module(f"input_pipeline.datasets.{name}") for name in registry.NAMES}


def test_every_key_of_the_data_is_read_by_the_inputs_or_by_a_dataset(monkeypatch, tmp_path):
    values = read_settings(FLAT | {"data.dataset": "custom"}).inputs
    data = Recorded(values.data)
    inputs = Inputs(**values._asdict() | {"data": data})
    _ = inputs.alignment
    builder = SimpleNamespace(builder_config=SimpleNamespace(class_names=["a"] * 20), report=empty_report)
    monkeypatch.setattr(registry, "_built", lambda make_builder, data_dir, settings, beam_runner: builder)
    inputs.prepare(str(tmp_path))
    of_datasets = {key for module in DATASETS.values() for key in module.SETTINGS}
    # Handed on under names of their own.
    of_inputs = {"dataset", "data_dir", "beam_runner", "cache_gigabytes", "validation_fraction"}
    assert set(values.data) == (data.read | of_datasets | of_inputs) - {"need_ground_truth"}


def empty_report():
    return {"dataset": "", "notes": [], "splits": {}}


def test_the_number_of_classes_must_be_the_datasets(monkeypatch, tmp_path):
    builder = SimpleNamespace(builder_config=SimpleNamespace(class_names=["a", "b", "c"]), report=empty_report)
    monkeypatch.setattr(registry, "_built", lambda make_builder, data_dir, settings, beam_runner: builder)
    two, three = (
        Inputs(**tiny_settings(data__dataset="shoulder", data__num_classes=count).inputs._asdict()) for count in (2, 3)
    )
    with pytest.raises(
        InputError, match=r"^config\.data\.num_classes is 2; dataset shoulder has 3 classes; set it to 3$"
    ):
        two.prepare(str(tmp_path))
    assert three.prepare(str(tmp_path)) is builder
    assert json.loads((tmp_path / "data_report.json").read_text()) == empty_report()
