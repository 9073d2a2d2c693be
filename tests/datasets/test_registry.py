"""The datasets by name: which keys of config.data they ask for, and that each is built once and found again."""

import fcntl
import importlib
import importlib.util
import pkgutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from contextloc_jax.core.errors import InputError
from input_pipeline import datasets
from input_pipeline.datasets import data_report, prepare, registry, shoulder_sessions
from tests.helpers.published import data_settings
from tests.helpers.shoulder_dataset import prepare_shoulder
from tests.helpers.video_records import opened

OF_THE_RUN = {"dataset", "data_dir", "beam_runner", "validation_fraction", "cache_gigabytes"}  # the same for all


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


@pytest.fixture(scope="module")
def shoulder(tmp_path_factory):
    data_dir = tmp_path_factory.mktemp("data")
    return data_dir, prepare_shoulder(data_dir)


def test_prepare_finds_the_finished_dataset_and_its_report(shoulder, capsys):
    data_dir, builder = shoulder
    builder.report()
    before = {p: p.stat().st_mtime_ns for p in Path(builder.data_dir).iterdir()}
    assert any("array_record" in p.name for p in before)
    again = prepare_shoulder(data_dir)
    assert {p: p.stat().st_mtime_ns for p in Path(again.data_dir).iterdir()} == before
    lines = data_report.summary_lines(again.report())
    assert capsys.readouterr() == ("", "")
    assert [line.split(":")[0] for line in lines] == ["shoulder train", "shoulder test"]
    assert all("recall at tIoU 0.5/0.7/0.9 1.000/" in line for line in lines)


def test_prepare_shows_progress_on_stderr(tmp_path, capsys):
    prepare_shoulder(tmp_path, 8)
    assert "prepare shoulder 80/80  " in capsys.readouterr().err


PREPARE = (
    "import sys; from tests.helpers.shoulder_dataset import prepare_shoulder; "
    "from tests.helpers.video_records import opened; "
    "builder = prepare_shoulder(sys.argv[1], 8); "
    "print(len(opened(builder, 'test')), builder.report()['dataset'])"
)


def test_of_processes_that_prepare_at_once_one_builds_and_the_others_find_it(tmp_path):
    started = [
        subprocess.Popen([sys.executable, "-c", PREPARE, tmp_path], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(3)
    ]
    said = [tuple(stream.decode() for stream in process.communicate()) for process in started]
    assert [out for out, _ in said] == ["24 shoulder\n"] * 3, said
    assert sum("prepare shoulder 80/80  " in err for _, err in said) == 1
    folder = Path(prepare_shoulder(tmp_path, 8).data_dir)
    assert folder.is_dir() and not [path for path in tmp_path.rglob("*") if path.suffix in (".lock", ".partial")]
    assert not list(folder.parent.glob("incomplete*"))


def test_a_lock_that_another_process_holds_is_waited_for(tmp_path, capsys):
    with (tmp_path / "shoulder.lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with ThreadPoolExecutor() as pool:
            waiting = pool.submit(prepare_shoulder, tmp_path, 8)
            deadline = time.monotonic() + 60
            while "another process builds it; waiting" not in (said := capsys.readouterr().err):
                assert time.monotonic() < deadline and not said
                time.sleep(0.02)
            assert not (tmp_path / "shoulder").exists()
            fcntl.flock(file, fcntl.LOCK_UN)
            assert len(opened(waiting.result(), "test")) == 24


def test_a_finished_dataset_is_found_where_nothing_can_be_written(shoulder, monkeypatch):
    data_dir, built = shoulder
    monkeypatch.setattr(registry, "_alone", None)
    assert prepare_shoulder(data_dir).data_dir == built.data_dir


def test_wrong_inputs_of_prepare_are_one_line(tmp_path, monkeypatch):
    with pytest.raises(InputError, match=r"^config\.data\.dataset is 'sholder'; expected one of .*shoulder"):
        prepare("sholder", tmp_path, data_settings())
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(InputError, match=r"^config\.data\.data_dir=[^\n]*cannot write there[^\n]*$"):
        prepare("shoulder", file / "data", data_settings())
    monkeypatch.setattr(shoulder_sessions.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install seglearn==1\.2\.5$"):
        prepare("shoulder", tmp_path, data_settings())


def test_a_beam_runner_without_beam_is_one_line(tmp_path, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "apache_beam" else find(name))
    with pytest.raises(InputError, match=r"^config\.data\.beam_runner is 'DirectRunner'[^\n]*requirements-beam\.txt$"):
        prepare("custom", tmp_path, data_settings(), beam_runner="DirectRunner")
