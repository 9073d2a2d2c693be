import importlib
import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from configs import default
from contextloc_jax.commands import train
from contextloc_jax.commands.settings import COUNTS, make_model
from contextloc_jax.core.errors import InputError
from contextloc_jax.workdir.config_file import flatten
from input_pipeline import inputs
from tests.helpers.tiny_runs import CLASSES, SilentWriter, tiny_config, tiny_source

pytestmark = pytest.mark.usefixtures("quick_compiler")
CONFIGS = sorted(path.stem for path in Path(default.__file__).parent.glob("*.py") if path.stem != "__init__")


class Recorded:
    """A configuration that notes which of its values are read by name. Copying it as a whole reads nothing."""

    def __init__(self, config, read: set, prefix=""):
        self._config, self._read, self._prefix = config, read, prefix

    def __getattr__(self, name):
        return self[name]

    def __getitem__(self, name):
        value = self._config[name]
        if hasattr(value, "items"):
            return Recorded(value, self._read, f"{self._prefix}{name}.")
        self._read.add(self._prefix + name)
        return value

    def items(self):
        return self._config.items()


def empty_report():
    return {"dataset": "", "notes": [], "splits": {}}


@pytest.fixture(scope="module")
def read(tmp_path_factory):
    """The keys that a training run with its evaluation reads, through the real factories of both sides."""
    keys = set()
    config = Recorded(tiny_config(num_epochs=1, data__dataset="shoulder"), keys)
    builder = SimpleNamespace(builder_config=SimpleNamespace(class_names=CLASSES), report=empty_report)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inputs, "prepare", lambda name, data_dir, data, **settings: builder)
        patch.setattr(inputs, "open_split", lambda builder, split, cache_bytes: tiny_source(split, 6))
        train.train(config, str(tmp_path_factory.mktemp("recorded")), inputs, SilentWriter)
    return keys


def model_keys():
    """The model's keys are copied into its fields as a whole, so they are tested by what they change."""
    return {f"model.{key}" for key in default.get_config().model}


def test_every_key_is_read(read):
    assert set(flatten(default.get_config())) - model_keys() <= read


OTHER_VALUES = {bool: lambda value: not value, int: lambda value: value + 1, float: lambda value: value / 2 + 0.1}


@pytest.mark.parametrize("key", sorted(default.get_config().model))
def test_every_key_of_the_model_changes_the_model(key):
    config = default.get_config()
    value = config.model[key]
    config.model[key] = "nonlocal" if key == "proposal_net" else OTHER_VALUES[type(value)](value)
    assert make_model(config) != make_model(default.get_config())


def test_the_number_of_classes_and_the_type_of_products_reach_the_model():
    config = default.get_config()
    config.dtype, config.data.num_classes = "bfloat16", 7
    model = make_model(config)
    assert model.dtype == "bfloat16" and model.num_classes == 7


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


@pytest.mark.parametrize(
    "key, value, expected",
    [
        *((key, 0, "expected at least 1") for key in COUNTS),
        ("dtype", "float17", "expected one of float32, bfloat16, float64"),
        ("parallel", "pjit", "expected 'shard_map' or 'pmap'"),
        ("model.proposal_net", "gat", "expected one of pgcn, nonlocal, none"),
        ("detection.nms", "soft", "expected one of hard, linear, gaussian, none"),
        ("detection.class_top_k", -1, "expected at least 0"),
        ("sampling.num_background", 0, "needs at least 1"),
    ],
)
def test_a_value_that_cannot_be_is_refused_before_anything_is_read_or_written(tmp_path, key, value, expected):
    config = tiny_config(**{key: value})
    with pytest.raises(InputError, match=rf"^config\.{key} is {value!r}; .*{expected}[^\n]*$"):
        train.train(config, str(tmp_path / "run"), None, None)
    assert not (tmp_path / "run").exists()


def test_an_unknown_protocol_is_refused_before_anything_is_read_or_written(tmp_path):
    with pytest.raises(InputError, match=r"^protocol 'coco' is unknown; expected one of thumos14, activitynet$"):
        train.train(tiny_config(detection__protocol="coco"), str(tmp_path / "run"), None, None)
    assert not (tmp_path / "run").exists()


def test_the_number_of_classes_must_be_the_datasets(monkeypatch, tmp_path):
    builder = SimpleNamespace(builder_config=SimpleNamespace(class_names=["a", "b", "c"]), report=empty_report)
    monkeypatch.setattr(inputs, "prepare", lambda name, data_dir, data, **settings: builder)
    with pytest.raises(InputError, match=r"^config\.data\.num_classes is 2; dataset shoulder has 3 classes$"):
        inputs.prepare_dataset(tiny_config(data__dataset="shoulder"), str(tmp_path))
    three = tiny_config(data__dataset="shoulder", data__num_classes=3)
    assert inputs.prepare_dataset(three, str(tmp_path)) is builder
    assert json.loads((tmp_path / "data_report.json").read_text()) == empty_report()
