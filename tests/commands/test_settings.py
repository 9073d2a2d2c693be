"""Settings: every key is read and has a range, and a value that cannot be is refused at the start."""

import importlib
import math
import re

import pytest

from configs import default
from contextloc_jax.commands.settings import ADDED_KEYS, RANGES, read_settings
from contextloc_jax.core.errors import InputError
from contextloc_jax.workdir.config_file import flatten
from input_pipeline.batches.targets import LabelRules
from input_pipeline.datasets import registry
from input_pipeline.inputs import Inputs
from tests.helpers.recorded_mapping import Recorded
from tests.helpers.tiny_runs import train

FLAT = flatten(default.get_config())
DATASETS = {name: importlib.import_module(f"input_pipeline.datasets.{name}") for name in registry.NAMES}


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
