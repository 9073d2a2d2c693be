"""Which keys of config.data the datasets ask for, and the ranges of their values."""

import importlib
import pkgutil

import pytest

from contextloc_jax.core.errors import InputError
from input_pipeline import datasets
from input_pipeline.datasets import prepare, registry
from tests.helpers.published import data_settings

OF_THE_RUN = {"dataset", "data_dir", "beam_runner", "validation_fraction", "cache_gigabytes"}  # the same for all
SMALL = {"num_classes": 3, "synthetic.train_videos": 2, "synthetic.test_videos": 1, "synthetic.feature_width": 4,
         "synthetic.shortest_snippets": 26, "synthetic.longest_snippets": 27, "synthetic.num_proposals": 5}  # fmt: skip


def settings_of(name: str) -> set[str]:
    return set(importlib.import_module(f"input_pipeline.datasets.{name}").SETTINGS)


def test_every_module_with_settings_is_registered():
    modules = {module.name for module in pkgutil.iter_modules(datasets.__path__)}
    offering = {name for name in modules if hasattr(importlib.import_module(f"{datasets.__name__}.{name}"), "SETTINGS")}
    assert offering == set(registry.NAMES)


def test_every_key_of_the_configuration_is_asked_for_by_a_dataset():
    asked = set().union(*map(settings_of, registry.NAMES))
    assert asked - {"need_ground_truth"} == set(data_settings()) - OF_THE_RUN


@pytest.mark.parametrize("name", registry.NAMES)
def test_only_datasets_of_files_can_do_without_ground_truth(tmp_path, name):
    unset = rf"^config\.data\.dataset is '{name}', whose videos are all annotated[^\n]*config\.data\.dataset=custom$"
    if "test_proposals" in settings_of(name):
        unset = r"^config\.data\.test_proposals is not set"
    with pytest.raises(InputError, match=unset):
        prepare(name, tmp_path, data_settings(), need_ground_truth=False)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "name, key, value, expected",
    [
        ("shoulder", "composition_seed", -1, "at least 0"),
        ("shoulder", "feature_dtype", "float8", "one of float16, float32"),
        ("synthetic", "composition_seed", -1, "at least 0"),
        ("synthetic", "num_classes", 0, "at least 1"),
        ("synthetic", "synthetic.feature_width", 0, "at least 1"),
        ("synthetic", "synthetic.shortest_snippets", 25, "at least 26"),
        ("synthetic", "synthetic.longest_snippets", 50, "at least shortest_snippets, 100"),
        ("custom", "fps", float("inf"), "above 0"),
        ("custom", "snippet_stride", 0, "at least 1"),
        ("custom", "snippet_length", 0, "at least 1"),
        ("custom", "num_bins", -1, "at least 0"),
        ("thumos14", "num_classes", 0, "the number of action classes"),
        ("thumos14", "test_videos", "all", "one of 213, 211, 210"),
    ],
)
def test_a_value_outside_its_range_is_one_line_that_names_its_key(tmp_path, name, key, value, expected):
    with pytest.raises(InputError, match=rf"^config\.data\.{key} is {value!r}; expected [^\n]*{expected}[^\n]*$"):
        prepare(name, tmp_path, data_settings(**{key: value}))
    assert not list(tmp_path.iterdir())


def test_the_smallest_synthetic_videos_have_an_instance(tmp_path):
    builder = prepare("synthetic", tmp_path, data_settings(**SMALL))
    report = builder.report()["splits"]["train"]
    assert report["kept"] == 2 and not report["no_ground_truth"]
