"""Configurations: every key is read and has a range, a value that cannot be is refused at the start, variants are
deltas."""

import importlib
import json
import math
import re
from collections import UserDict
from pathlib import Path
from types import SimpleNamespace

import pytest

from configs import default
from contextloc_jax.commands.settings import ADDED_KEYS, RANGES, read_settings
from contextloc_jax.core.errors import InputError
from contextloc_jax.workdir.config_file import flatten
from input_pipeline.batches.targets import LabelRules
from input_pipeline.datasets import registry
from input_pipeline.inputs import Inputs
from tests.helpers.tiny_runs import tiny_settings, train

CONFIGS = sorted(path.stem for path in Path(default.__file__).parent.glob("*.py") if path.stem != "__init__")
FLAT = flatten(default.get_config())
DATASETS = {name: importlib.import_module(f"input_pipeline.datasets.{name}") for name in registry.NAMES}


class Recorded(UserDict):
    """A mapping that notes which of its keys are read by name."""

    def __init__(self, values):
        self.read = set()
        super().__init__(values)

    def __getitem__(self, key):
        self.read.add(key)
        return super().__getitem__(key)


def changed(key: str) -> dict:
    """The default configuration with another value of a key, one that can be."""
    others = {
        "data.dataset": "custom",
        "dtype": "bfloat16",
        "parallel": "pmap",
        "model.proposal_net": "nonlocal",
        "model.retrieval": "plain",
        "detection.protocol": "activitynet",
        "detection.nms": "linear",
        "detection.class_scores": "oracle",
        "optimizer.decay_epochs": [3],
        "data.feature_dtype": "float16",
    }
    value = FLAT[key]
    if key in others:
        value = others[key]
    elif isinstance(value, bool):
        value = not value
    elif isinstance(value, int):
        value = value + 1
    elif isinstance(value, float):
        value = value / 2 + 0.1
    else:
        value = "somewhere"
    needed = {"data.validation_fraction": 0.5} if key == "refit" else {}
    return FLAT | needed | {key: value}


@pytest.mark.parametrize("key", sorted(FLAT))
def test_every_key_changes_the_settings(key):
    """Beside the copy that checkpoints carry: a key that nobody reads would change nothing else."""
    plain, other = (vars(read_settings(flat)) | {"flat": None} for flat in (FLAT, changed(key)))
    assert plain != other


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


def test_every_key_of_the_optimizer_is_read():
    settings = read_settings(FLAT)
    recorded = Recorded(settings.optimizer)
    object.__setattr__(settings, "optimizer", recorded)
    settings.make_optimizer(steps_per_epoch=3)
    assert recorded.read == set(recorded)


def test_every_number_and_name_has_a_range():
    """Booleans and paths can be anything of their type."""
    ranges = set(RANGES) | {f"sampling.{key}" for key in LabelRules.RANGES}
    for module in DATASETS.values():
        ranges |= {f"data.{key}" for key, allowed in module.SETTINGS.items() if allowed is not None}
    free = {
        "data.data_dir",
        "data.beam_runner",
        "detection.class_scores",
        "data.dataset",
    }  # paths and names of their own
    paths = {key for key, value in FLAT.items() if value is None}
    assert {key for key, value in FLAT.items() if not isinstance(value, bool)} - paths - free == ranges & set(FLAT)


def refused(flat) -> str:
    """The one line with which these settings are refused, before anything is read or written."""
    with pytest.raises(InputError) as error:
        settings = read_settings(flat)
        Inputs(**settings.inputs._asdict())
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("key", sorted(key for key, value in FLAT.items() if type(value) in (int, float)))
def test_no_number_may_be_minus_one(key):
    dataset = key.split(".")[1] if key.startswith("data.synthetic") else "thumos14"
    dataset = {"data.composition_seed": "shoulder"}.get(key, dataset)
    assert refused(FLAT | {"data.dataset": dataset, key: -1}).startswith(f"config.{key} is -1; expected ")


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("key", sorted(key for key, value in FLAT.items() if type(value) is float))
def test_no_number_may_be_nan_or_infinite(key, value):
    assert refused(FLAT | {key: value}).startswith(f"config.{key} is {value}; expected ")


@pytest.mark.parametrize(
    "key, value, expected",
    [
        ("detection.nms_tiou", 35, "expected a number from 0 to 1"),
        ("detection.top_k", 0, "expected at least 1"),
        ("detection.class_top_k", -1, "expected at least 0"),
        ("detection.nms", "soft", "expected one of hard, linear, gaussian, none"),
        ("detection.protocol", "coco", "expected one of thumos14, activitynet"),
        ("loss.completeness_weight", -1, "expected at least 0"),
        ("optimizer.learning_rate", -1, "expected a number above 0"),
        ("optimizer.decay_epochs", [30, 15], r"expected epochs in rising order, such as \(15, 30\)"),
        ("optimizer.decay_epochs", [0.5], "expected epochs in rising order"),
        ("model.head_dropout", 1.5, "expected a number from 0 to less than 1"),
        ("model.proposal_net", "gat", "expected one of pgcn, nonlocal, none"),
        ("model.retrieval", "fast", "expected one of auto, plain, windows, kernel"),
        ("sampling.foreground_tiou", 70, "expected .* from 0 to 1"),
        ("sampling.num_background", 0, "expected at least 1"),
        ("dtype", "float17", "expected one of float32, bfloat16, float64"),
        ("parallel", "pjit", "expected one of shard_map, pmap"),
        ("data.dataset", "ucf", "expected one of activitynet13, custom, shoulder, synthetic, thumos14"),
        ("data.test_videos", 212, "expected one of 213, 211, 210"),
        *((key, 0, "expected at least 1") for key in ("num_epochs", "log_every", "batch_size", "keep_checkpoints")),
    ],
)
def test_a_value_that_cannot_be_is_refused_before_anything_is_read_or_written(key, value, expected):
    assert re.search(
        rf"^config\.{re.escape(key)} is {re.escape(repr(value))}; {expected}", refused(FLAT | {key: value})
    )


def test_values_that_do_not_fit_each_other_are_refused():
    assert "config.data.validation_fraction" in refused(FLAT | {"refit": True})
    assert "JAX_ENABLE_X64=1" in refused(FLAT | {"dtype": "float64"})
    assert "incomplete_tiou" in refused(FLAT | {"sampling.incomplete_tiou": 0.9})


def test_a_refused_setting_leaves_no_workdir(tmp_path):
    with pytest.raises(InputError):
        train(tmp_path / "run", detection__nms_tiou=35.0)
    assert not (tmp_path / "run").exists()


def test_a_workdir_from_before_a_key_was_added_is_read_as_it_was_run():
    old = {key: value for key, value in FLAT.items() if key not in ADDED_KEYS}
    assert old != FLAT and read_settings(old) == read_settings(FLAT | ADDED_KEYS)


@pytest.mark.parametrize("name", CONFIGS)
def test_variants_have_the_keys_of_the_default(name):
    """Deltas only: a key of a variant alone would be read by nobody."""
    config = importlib.import_module(f"configs.{name}").get_config()
    assert flatten(config).keys() == flatten(default.get_config()).keys()
    for key, value in flatten(default.get_config()).items():
        found = flatten(config)[key]
        assert value is None or type(found) is type(value), key


@pytest.mark.parametrize("name, protocol, num_classes, expected", [
    ("thumos14", "thumos14", 20, {"foreground_tiou": 0.7, "incomplete_tiou": 0.3, "incomplete_overlap_self": 0.01,
                                  "background_tiou": 0.01, "background_coverage": 0.02}),
    ("activitynet13", "activitynet", 200, {"foreground_tiou": 0.7, "incomplete_tiou": 0.6, "incomplete_overlap_self": 0,
                                           "background_tiou": 0.1, "background_coverage": 0}),
])  # fmt: skip
def test_published_settings(name, protocol, num_classes, expected):
    module = importlib.import_module(f"configs.{name}")
    for stream in ("rgb", "flow"):
        config = module.get_config(stream)
        assert config.data.dataset == name and config.data.num_classes == num_classes
        assert config.detection.protocol == protocol and config.batch_size == 32
        assert {key: config.sampling[key] for key in expected} == expected
    assert module.get_config().detection.top_k == (2000 if name == "thumos14" else 100)
    assert config.visits_per_epoch == (20 if name == "thumos14" else 5)
    assert config.data.num_bins == (0 if name == "thumos14" else 100)
    with pytest.raises(ValueError, match="expected one of rgb, flow"):
        module.get_config("depth")


@pytest.mark.parametrize("key, value", [("no_such_key", 1), ("model.no_such_key", 1)])
def test_a_key_that_does_not_exist_cannot_be_set(key, value):
    config = default.get_config().lock()
    with pytest.raises(KeyError, match="no_such_key"):
        config.update_from_flattened_dict({key: value})


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
