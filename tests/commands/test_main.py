"""The command line as a user meets it: every mistake is one line and exit code 1 (input) or 2 (usage)."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from configs import activitynet13 as activitynet13_config
from configs import default as default_config
from configs import shoulder as shoulder_config
from contextloc_jax.workdir.checkpoints import Checkpoints, digest
from contextloc_jax.workdir.lock import locked
from tests.helpers import damaged_checkpoints
from tests.helpers.custom_files import SMALL, write_dataset
from tests.helpers.paths import ROOT

SHOULDER = "--config=configs/shoulder.py"
# Three steps with a small model, on all of shoulder's sessions.
FEW_STEPS = ("--config.num_epochs=1", "--config.visits_per_epoch=1", "--config.model.context_width=8",
             "--config.model.graph_width=8")  # fmt: skip
ONE_RUN = "--config.refit=False"


def run_main(*arguments, **environment):
    command = [sys.executable, "main.py", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=os.environ | environment, timeout=300)


def assert_one_line(process, code: int, *parts: str):
    """Exit code, and a last line that starts with error: and says it all; before it only what went on."""
    assert process.returncode == code, process.stderr
    assert "Traceback" not in process.stderr + process.stdout
    *before, line = process.stderr.splitlines()
    assert not before, before
    assert line.startswith("error: " if code == 1 else "usage error: ")
    for part in parts:
        assert part in line


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


CUSTOM = "--config=configs/custom.py"


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


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    """Where the first run prepares shoulder's sessions for all."""
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def trained(tmp_path_factory, data_dir):
    """(workdir, flags but --workdir) of a finished run with two checkpoints; nothing may write to it."""
    workdir = tmp_path_factory.mktemp("trained")
    settings = (SHOULDER, f"--config.data.data_dir={data_dir}", *FEW_STEPS, ONE_RUN,
                "--config.num_epochs=2", "--config.evaluate_every=1")  # fmt: skip
    process = run_main(*settings, f"--workdir={workdir}")
    assert process.returncode == 0, process.stderr
    return workdir, settings


@pytest.mark.slow
def test_train_then_train_again_then_evaluate(tmp_path):
    """The quickstart's way on its real recordings, shortened."""
    common = (SHOULDER, f"--workdir={tmp_path}", *FEW_STEPS)
    results = ("metrics.json", "detections.json", "scores.npz")

    def contents():
        return {name: (tmp_path / name).read_bytes() for name in results}

    first = run_main(*common)
    assert first.returncode == 0 and "Traceback" not in first.stderr, first.stderr
    assert first.stdout.splitlines()[-1] == f"report: {tmp_path / 'report.html'}"
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["videos"] == 24 and metrics["protocol"] == "thumos14" and len(metrics["AP"]) == 5
    page = (tmp_path / "report.html").read_text()
    assert "http://" not in page.replace("http://www.w3.org", "") and "https://" not in page
    assert list(tmp_path.glob("events.out.tfevents.*"))

    expected = contents()
    again = run_main(*common)
    assert again.returncode == 0 and "train 3/3" not in again.stderr and contents() == expected
    evaluated = run_main(SHOULDER, f"--workdir={tmp_path}", "--mode=evaluate", *FEW_STEPS)
    assert evaluated.returncode == 0 and contents() == expected

    other = run_main(*common, "--config.seed=1")
    assert_one_line(other, 1, "seed is 1, expected 0", "or a new --workdir")
    absent = run_main(*common, "--mode=evaluate", "--checkpoint=77")
    assert_one_line(absent, 1, "--checkpoint=77", "expected best, latest or one of [3]")


@pytest.mark.slow
def test_a_run_compiles_its_step_once(tmp_path, data_dir):
    """As the quickstart trains but for its width; the cache of programs holds every one that was compiled."""
    settings = (SHOULDER, f"--config.data.data_dir={data_dir}", *FEW_STEPS[2:], ONE_RUN, "--config.num_epochs=2")
    cache = {"JAX_COMPILATION_CACHE_DIR": str(tmp_path / "cache"), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    process = run_main(*settings, f"--workdir={tmp_path / 'run'}", **cache)
    assert process.returncode == 0 and "train 30/30" in process.stderr, process.stderr
    assert len(list((tmp_path / "cache").glob("jit_step-*-cache"))) == 1


@pytest.mark.slow
def test_killed_again_and_again_it_ends_as_if_it_never_was(tmp_path, data_dir):
    """SIGKILL at five moments that the test does not choose: during a step, an evaluation or a save."""
    settings = (SHOULDER, f"--config.data.data_dir={data_dir}", *FEW_STEPS[2:], ONE_RUN,
                "--config.num_epochs=6", "--config.evaluate_every=1", "--config.visits_per_epoch=2")  # fmt: skip
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert run_main(*settings, f"--workdir={whole}").returncode == 0
    command = [sys.executable, "main.py", *settings, f"--workdir={killed}"]
    rng, kills = np.random.default_rng(0), 0
    while kills < 5:
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        before, patience = steps(killed), time.monotonic() + 120
        while process.poll() is None and time.monotonic() < patience and steps(killed) == before:
            time.sleep(0.02)
        time.sleep(rng.uniform(0, 0.5))
        process.kill()
        process.communicate()
        kills += 1
    assert run_main(*settings, f"--workdir={killed}").returncode == 0
    assert (killed / "metrics.json").read_bytes() == (whole / "metrics.json").read_bytes()
    assert (killed / "scores.npz").read_bytes() == (whole / "scores.npz").read_bytes()
    a, b = (digest(Checkpoints(folder).restore("latest").state) for folder in (whole, killed))
    assert a == b


def steps(workdir) -> list[str]:
    """Names of the checkpoints that are there."""
    return sorted(path.name for path in (workdir / "checkpoints").glob("*"))


@pytest.mark.slow
def test_sigterm_saves_and_the_next_start_ends_as_if_it_never_came(tmp_path, data_dir):
    """Sent while the steps go on; and once before the first step, where there is nothing to save."""
    settings = (SHOULDER, f"--config.data.data_dir={data_dir}", *FEW_STEPS[2:], ONE_RUN,
                "--config.num_epochs=10", "--config.evaluate_every=10", "--config.visits_per_epoch=2")  # fmt: skip
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    assert run_main(*settings, f"--workdir={whole}").returncode == 0
    command = [sys.executable, "main.py", *settings, f"--workdir={stopped}"]
    for ready in (lambda: (stopped / "config.json").exists(), lambda: logged(stopped)):
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        patience = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < patience and not ready():
            time.sleep(0.02)
        sent = time.monotonic()
        process.terminate()
        out, err = process.communicate()
        assert time.monotonic() - sent < 30 and process.returncode == 0 and "Traceback" not in err, err
        assert "stopped by SIGTERM" in out
    (step,) = steps(stopped)
    again = run_main(*settings, f"--workdir={stopped}")
    assert again.returncode == 0 and f"resuming at step {step} of" in again.stdout
    assert (stopped / "metrics.json").read_bytes() == (whole / "metrics.json").read_bytes()
    a, b = (digest(Checkpoints(folder).restore("latest").state) for folder in (whole, stopped))
    assert a == b


def logged(workdir) -> bool:
    """Whether the run there has taken steps."""
    path = workdir / "scalars.jsonl"
    return path.exists() and path.stat().st_size > 0


@pytest.fixture
def run_of_two(trained, tmp_path):
    """A copy of a finished run with two checkpoints, and its flags."""
    shutil.copytree(trained[0], tmp_path / "run")
    return tmp_path / "run", (*trained[1], f"--workdir={tmp_path / 'run'}")


def latest_digest(workdir) -> str:
    return digest(Checkpoints(workdir).restore("latest").state)


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_harms_nothing_that_was_saved(run_of_two):
    """A limit on the size of files stands for it: every file that grows beyond it meets an error of the disk."""
    workdir, settings = run_of_two
    before = latest_digest(workdir)
    for folder, kilobytes in ((workdir, 4), (workdir.with_name("new"), 4), (workdir.with_name("new"), 40)):
        limited = ("bash", "-c", f'ulimit -f {kilobytes}; exec "$@"', "-", sys.executable, "main.py")
        process = subprocess.run([*limited, *settings, f"--workdir={folder}"], cwd=ROOT, capture_output=True, text=True)
        assert process.returncode == 1 and "Traceback" not in process.stderr, process.stderr
        line = process.stderr.splitlines()[-1]
        assert line.startswith("error: ") and ("File too large" in line or "could not be saved" in line)
    assert latest_digest(workdir) == before


@pytest.mark.slow
def test_a_second_run_in_the_workdir_is_refused_and_an_evaluation_is_not(run_of_two):
    workdir, settings = run_of_two
    with locked(workdir):
        second = run_main(*settings)
        assert_one_line(second, 1, f"another run trains there (process {os.getpid()} on ", "--mode=evaluate")
        assert run_main(*settings, "--mode=evaluate").returncode == 0


@pytest.mark.slow
def test_a_damaged_newest_checkpoint_is_said_and_the_one_before_used(run_of_two):
    workdir, settings = run_of_two
    whole = latest_digest(workdir)
    older, newer = sorted(int(step) for step in steps(workdir))
    for data in (workdir / "checkpoints" / str(newer)).rglob("d/*"):  # any one may hold no weights
        data.write_bytes(data.read_bytes()[:100])
    evaluate = ("--mode=evaluate", "--checkpoint=latest")
    refused = run_main(*settings, *evaluate, "--strict_restore")
    assert_one_line(refused, 1, f"checkpoints/{newer}", "damaged")
    taken = run_main(*settings, *evaluate)
    assert taken.returncode == 0 and f"using checkpoint {older} " in taken.stderr
    assert f"checkpoint {older}, 24 test videos" in taken.stdout
    again = run_main(*settings)
    assert again.returncode == 0 and f"renamed to damaged_{newer}" in again.stderr
    assert latest_digest(workdir) == whole


def told(stderr: str) -> list[str]:
    """The lines but those of progress, which a slow machine has and a fast one has not."""
    return [line for line in stderr.splitlines() if not re.fullmatch(r"evaluate \d+/\d+ .* left", line)]


@pytest.mark.slow
def test_whatever_file_of_the_newest_checkpoint_is_damaged_no_number_is_wrong(tmp_path):
    """Either it is not needed, or the damage is told and the checkpoint before it used."""
    keys = write_dataset(tmp_path / "files")
    changes = {f"data.{key}": value for key, value in keys.items()} | SMALL | {"num_epochs": 2}
    settings = [CUSTOM, *(f"--config.{key}={value}" for key, value in changes.items())]
    workdir = tmp_path / "run"
    trained = run_main(*settings, f"--workdir={workdir}", f"--config.data.data_dir={tmp_path / 'data'}")
    assert trained.returncode == 0, trained.stderr
    older, newer = sorted(steps(workdir), key=int)
    flags = (*settings, f"--config.data.data_dir={tmp_path / 'data'}")
    by_step = {}
    for step in (older, newer):
        evaluated = run_main(*flags, f"--workdir={workdir}", "--mode=evaluate", f"--checkpoint={step}")
        assert evaluated.returncode == 0, evaluated.stderr
        by_step[step] = {name: (workdir / name).read_bytes().hex() for name in damaged_checkpoints.RESULTS}
    assert by_step[older] != by_step[newer]

    command = [sys.executable, "-m", "tests.helpers.damaged_checkpoints", str(workdir), *flags]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert process.returncode == 0, process.stderr
    found = [json.loads(line) for line in process.stdout.splitlines()]
    used = Counter()
    for case in found:
        where = f"{case['file']} {case['damage']}: {case['out']} {case['err']}"
        assert case["code"] == 0 and "Traceback" not in case["out"] + case["err"], where
        fell_back = f"using checkpoint {older} " in case["err"]
        assert fell_back == (f"checkpoints/{newer}" in case["err"]), where
        assert case["damage"] != "whole" or not told(case["err"]), where
        assert case["results"] == by_step[older if fell_back else newer], where
        used[case["damage"], fell_back] += 1
    assert used["whole", False] >= 8 and min(used["deleted", True], used["cut in half", True]) >= 3
