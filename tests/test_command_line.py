"""The command line as a user meets it: every mistake is one line and exit code 1 (input) or 2 (usage)."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from configs import activitynet13 as activitynet13_config
from configs import default as default_config
from configs import shoulder as shoulder_config
from tests.helpers.custom_files import write_dataset
from tests.helpers.main_process import CUSTOM, SHOULDER, assert_one_line, run_main
from tests.helpers.paths import ROOT


@pytest.mark.parametrize(
    "arguments, parts",
    [
        (("--workdir={workdir}",), ("--mode=train needs --config",)),
        ((SHOULDER,), ("--workdir",)),
        ((SHOULDER, "--workdir={workdir}", "--config.batch_sise=3"), ("no such key", "batch_sise")),
        ((SHOULDER, "--workdir={workdir}", "--config.model.graph_with=3"), ("no such key", "graph_with")),
        ((SHOULDER, "--workdir={workdir}", "--config.batch_size=many"), ("batch_size", "many")),
        ((SHOULDER, "--workdir={workdir}", "--mode=eval"), ("--mode=eval", "evaluate")),
        ((SHOULDER, "--workdir={workdir}", "--batch=1"), ("'batch'",)),
        ((SHOULDER, "--workdir={workdir}", "evaluate"), ("'evaluate' is not a flag",)),
        (("--config=configs/nowhere.py", "--workdir={workdir}"), ("configs/nowhere.py",)),
        (("--config=shouldr", "--workdir={workdir}"), ("'shouldr'", " shoulder,", " thumos14")),
        (
            ("--config=configs/shouldr.py", "--workdir={workdir}", "--config.seed=1"),
            ("'configs/shouldr.py'", "shoulder"),
        ),
        (("--config=thumos14:depth", "--workdir={workdir}"), ("thumos14.py:depth: expected one of rgb, flow",)),
        (("--config=ablations:no_net", "--workdir={workdir}"), ("ablations.py:no_net: expected one of contextloc",)),
        (("--config=README.md", "--workdir={workdir}"), ("SyntaxError", "expected a Python file")),
        (("--config=contextloc_jax/core/errors.py", "--workdir={workdir}"), ("get_config",)),
    ],
)
def test_a_wrong_command_line_is_one_line_and_exit_code_2(tmp_path, arguments, parts):
    workdir = tmp_path / "run"
    process = run_main(*(argument.format(workdir=workdir) for argument in arguments))
    assert_one_line(process, 2, *parts)
    assert not workdir.exists()


def configuration(folder: Path, name: str) -> dict:
    """The configuration that --config=NAME means in this folder."""
    code = (
        "import sys; from contextloc_jax.command_line import FLAGS, parse;"
        "parse(['contextloc', '--workdir=unset', *sys.argv[1:]]); print(FLAGS.config.to_json_best_effort())"
    )
    command = [sys.executable, "-c", code, f"--config={name}"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment)
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout)


def test_a_shipped_configuration_has_a_name_and_is_found_from_any_folder(tmp_path):
    shoulder = json.loads(shoulder_config.get_config().to_json_best_effort())
    for folder, name in ((ROOT, "configs/shoulder.py"), (ROOT, "shoulder"), (tmp_path, "configs/shoulder.py"),
                         (tmp_path, "shoulder"), (tmp_path, str(ROOT / "configs" / "shoulder.py"))):  # fmt: skip
        assert configuration(folder, name) == shoulder
    flow = json.loads(activitynet13_config.get_config("flow").to_json_best_effort())
    assert configuration(tmp_path, "activitynet13:flow") == flow != shoulder


def test_a_configuration_of_the_user_imports_the_shipped_ones_and_those_beside_it(tmp_path):
    seeded = "from configs import default{}\ndef get_config():\n    config = default.get_config()\n"
    (tmp_path / "mine.py").write_text(seeded.format("") + "    config.seed = 7\n    return config\n")
    default = json.loads(default_config.get_config().to_json_best_effort())
    assert configuration(tmp_path, "mine.py") == default | {"seed": 7}
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "seeds.py").write_text("SEED = 8\n")
    beside = seeded.format(", seeds") + "    config.seed = seeds.SEED\n    return config\n"
    (tmp_path / "configs" / "mine.py").write_text(beside)
    assert configuration(tmp_path, "configs/mine.py") == default | {"seed": 8}


def test_the_configs_of_another_project_are_not_in_the_way(tmp_path):
    (tmp_path / "configs").mkdir()
    for name in ("__init__", "default"):
        (tmp_path / "configs" / f"{name}.py").write_text("raise RuntimeError('of another project')\n")
    assert configuration(tmp_path, "default") == json.loads(default_config.get_config().to_json_best_effort())
    assert configuration(tmp_path, "shoulder")["data"]["dataset"] == "shoulder"


def test_evaluate_without_a_checkpoint(tmp_path):
    process = run_main(SHOULDER, f"--workdir={tmp_path / 'run'}", "--mode=evaluate")
    assert_one_line(process, 1, str(tmp_path / "run"), "no checkpoints here; train first")


def test_a_workdir_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    process = run_main(SHOULDER, f"--workdir={tmp_path / 'file' / 'run'}")
    assert_one_line(process, 1, f"--workdir={tmp_path / 'file' / 'run'}: cannot write there", "choose another folder")


def test_a_batch_size_that_four_devices_cannot_share(tmp_path):
    four = {"XLA_FLAGS": "--xla_force_host_platform_device_count=4", "JAX_PLATFORMS": "cpu"}
    process = run_main(SHOULDER, f"--workdir={tmp_path / 'run'}", "--config.batch_size=18", **four)
    assert_one_line(process, 1, "config.batch_size is 18, which 4 devices cannot share equally; set it to 16 or 20")
    assert not (tmp_path / "run" / "config.json").exists()


def test_the_package_of_the_recordings_is_not_installed(tmp_path):
    """sitecustomize runs before anything else and hides the package from the finders."""
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.util\n"
        "find = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *more: None if name == 'seglearn' else find(name, *more)\n"
    )
    process = run_main(SHOULDER, f"--workdir={tmp_path / 'run'}", PYTHONPATH=str(tmp_path))
    assert_one_line(process, 1, "pip install seglearn==1.2.5")


def test_a_dataset_without_its_paths(tmp_path):
    process = run_main(CUSTOM, f"--workdir={tmp_path / 'run'}", "--mode=prepare", "--config.data.num_classes=2")
    assert_one_line(process, 1, "config.data.train_proposals is not set", "--config.data.train_proposals=PATH")
    assert not (tmp_path / "run").exists()


def test_a_bad_line_of_a_list_and_a_pickle_that_runs_code(tmp_path):
    keys = write_dataset(tmp_path / "files")
    flags = [CUSTOM, f"--workdir={tmp_path / 'run'}", *(f"--config.data.{key}={value}" for key, value in keys.items())]
    proposals, features = Path(keys["test_proposals"]), Path(keys["test_features"], "test_1.npy")
    whole = proposals.read_text()
    proposals.write_text(whole.replace("\n1 ", "\n7 ", 1))
    process = run_main(*flags)
    assert_one_line(process, 1, f"{proposals}:", "unknown label", "2 (num_classes)")
    proposals.write_text(whole)
    features.write_bytes(b"\x80\x02cos\nsystem\nX\x0c\x00\x00\x00touch hacked\x85R.")
    process = run_main(*flags, "--mode=prepare")
    assert process.returncode == 1 and "Traceback" not in process.stderr
    *progress, line = process.stderr.splitlines()
    assert all(text.startswith("prepare custom ") for text in progress)
    assert line.startswith(f"error: {features}") and "os.system" in line
    assert not (ROOT / "hacked").exists()
    assert not list((tmp_path / "run").glob("tfds/custom/*/*/*.array_record*"))


@pytest.mark.parametrize(
    ("code", "words", "flags"),
    [
        (1, "error: --streams: 'rgb'", ["--mode=fuse", "--streams=rgb", "--workdir=OUT"]),
        (2, "--mode=fuse needs --streams", ["--mode=fuse", "--workdir=OUT"]),
        (2, "--workdir", ["--mode=compare", "--runs=A,B"]),
        (2, "--streams is not for --mode=compare", ["--mode=compare", "--runs=A,B", "--streams=x", "--workdir=OUT"]),
        (2, "'sed'", ["--config=configs/default.py", "--config.sed=3", "--workdir=OUT"]),
        (2, "'configs/gone.py'", ["--config=configs/gone.py", "--workdir=OUT"]),
    ],
)
def test_mistakes_on_the_command_line_are_one_line(tmp_path, code, words, flags):
    done = run_main(*(flag.replace("OUT", str(tmp_path / "out")) for flag in flags))
    assert (done.returncode, done.stdout) == (code, "")
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()
