"""Whole runs of the command line: started again, killed, stopped, on a full disk, and with damaged checkpoints."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections import Counter

import numpy as np
import pytest

from contextloc_jax.workdir.checkpoints import Checkpoints, digest
from contextloc_jax.workdir.lock import locked
from tests.helpers import damaged_checkpoints
from tests.helpers.custom_files import SMALL, write_dataset
from tests.helpers.main_process import CUSTOM, FEW_STEPS, ONE_RUN, SHOULDER, assert_one_line, run_main, started_until
from tests.helpers.paths import ROOT

pytestmark = pytest.mark.slow


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


def test_a_run_compiles_its_step_once(tmp_path, data_dir):
    """As the quickstart trains but for its width; the cache of programs holds every one that was compiled."""
    settings = (SHOULDER, f"--config.data.data_dir={data_dir}", *FEW_STEPS[2:], ONE_RUN, "--config.num_epochs=2")
    cache = {"JAX_COMPILATION_CACHE_DIR": str(tmp_path / "cache"), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    process = run_main(*settings, f"--workdir={tmp_path / 'run'}", **cache)
    assert process.returncode == 0 and "train 30/30" in process.stderr, process.stderr
    assert len(list((tmp_path / "cache").glob("jit_step-*-cache"))) == 1


def test_killed_again_and_again_it_ends_as_if_it_never_was(tmp_path, data_dir):
    """SIGKILL at five moments that the test does not choose: during a step, an evaluation or a save."""
    settings = (SHOULDER, f"--config.data.data_dir={data_dir}", *FEW_STEPS[2:], ONE_RUN,
                "--config.num_epochs=6", "--config.evaluate_every=1", "--config.visits_per_epoch=2")  # fmt: skip
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert run_main(*settings, f"--workdir={whole}").returncode == 0
    rng, kills = np.random.default_rng(0), 0
    while kills < 5:
        before = steps(killed)
        process = started_until(lambda before=before: steps(killed) != before, *settings, f"--workdir={killed}")
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


def test_sigterm_saves_and_the_next_start_ends_as_if_it_never_came(tmp_path, data_dir):
    """Sent while the steps go on; and once before the first step, where there is nothing to save."""
    settings = (SHOULDER, f"--config.data.data_dir={data_dir}", *FEW_STEPS[2:], ONE_RUN,
                "--config.num_epochs=10", "--config.evaluate_every=10", "--config.visits_per_epoch=2")  # fmt: skip
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    assert run_main(*settings, f"--workdir={whole}").returncode == 0
    for ready in (lambda: (stopped / "config.json").exists(), lambda: logged(stopped)):
        process = started_until(ready, *settings, f"--workdir={stopped}")
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


def test_a_second_run_in_the_workdir_is_refused_and_an_evaluation_is_not(run_of_two):
    workdir, settings = run_of_two
    with locked(workdir):
        second = run_main(*settings)
        assert_one_line(second, 1, f"another run trains there (process {os.getpid()} on ", "--mode=evaluate")
        assert run_main(*settings, "--mode=evaluate").returncode == 0


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
