"""The shipped configurations: variants are deltas of the default, and published settings are as published."""

import importlib
from pathlib import Path

import pytest

from configs import default
from contextloc_jax.workdir.config_file import flatten

CONFIGS = sorted(path.stem for path in Path(default.__file__).parent.glob("*.py") if path.stem != "__init__")


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
