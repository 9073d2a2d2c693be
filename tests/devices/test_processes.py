"""Several processes: how they meet, and that they end together. Slow ones run a training run in two of them."""

import os
import subprocess
import sys
import time

import numpy as np
import pytest

from contextloc_jax.core.errors import InputError
from contextloc_jax.devices import processes
from contextloc_jax.interchange.score_files import load_scores
from contextloc_jax.workdir.checkpoints import Checkpoints
from tests.helpers.free_port import free_port
from tests.helpers.random_videos import largest_difference
from tests.helpers.tiny_runs import STEPS_PER_EPOCH, train

SLURM = {"SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "2"}
OPEN_MPI = {"OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_RANK": "2"}
EXPLICIT = {"coordinator_address": "h:1", "num_processes": 2, "process_id": 0, "cluster_detection_method": "deactivate"}
URI = {"OMPI_MCA_orte_hnp_uri": "1531576320.0;tcp://10.96.0.1:34911"}


@pytest.mark.parametrize(
    "flags, environment, on_tpu, expected",
    [
        ((None, None, None), {}, False, None),
        ((None, None, None), {"SLURM_STEP_NUM_TASKS": "1", "SLURM_NTASKS": "8"}, False, None),
        ((None, None, None), SLURM, False, {"num_processes": 4, "process_id": 2}),
        (("h:1", None, None), SLURM, False, {"coordinator_address": "h:1", "num_processes": 4, "process_id": 2}),
        ((None, None, None), OPEN_MPI | URI, False, {"num_processes": 4, "process_id": 2}),
        (("h:1", None, None), OPEN_MPI, False, {"coordinator_address": "h:1", "num_processes": 4, "process_id": 2}),
        ((None, None, None), {}, True, {}),
        (("h:1", 2, 0), SLURM, True, EXPLICIT),
    ],
)  # fmt: skip
def test_flags_and_clusters_say_how_to_meet(flags, environment, on_tpu, expected):
    assert processes.meeting(*flags, environment, on_tpu) == expected


@pytest.mark.parametrize(
    "flags, environment, expected",
    [
        (("h:1", None, None), {}, "need --num_processes, --process_id as well"),
        ((None, 2, 0), {}, "need --coordinator as well"),
        (("h:1", 2, 2), {}, "a process_id from 0 to num_processes - 1"),
        (("h", 2, 0), {}, "HOST:PORT of process 0"),
        ((None, None, None), OPEN_MPI, "add --coordinator=HOST:PORT"),
    ],
)
def test_flags_that_do_not_suffice_are_one_line(flags, environment, expected):
    with pytest.raises(InputError, match=rf"^[^\n]*{expected}[^\n]*$"):
        processes.meeting(*flags, environment, False)


def test_a_coordinator_that_does_not_answer_is_one_line(monkeypatch):
    monkeypatch.setattr(processes, "MEETING_SECONDS", 0.1)
    for address in (f"localhost:{free_port()}", "localhost:port", "no.such.host.invalid:1"):
        with (
            pytest.raises(InputError, match=rf"^--coordinator={address}: process 0 does not answer \([^\n]*$"),
            processes.together(address, 2, 1),
        ):
            pass


def test_alone_everything_is_as_if_it_were_not_there():
    tree = {"a": np.arange(3)}
    with processes.together():
        assert processes.is_first() and processes.gather(tree) is tree
        assert processes.from_first(lambda: [tree, 1])[0]["a"].tolist() == [0, 1, 2]
        assert processes.first_before_others(lambda: 7) == 7
        processes.barrier()


def start_two(workdir, event=None):
    """Two processes with four devices each that train together in workdir."""
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=4", "JAX_PLATFORMS": "cpu"}
    flags |= {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1"} | ({"EVENT": event} if event else {})
    port = free_port()
    return [
        subprocess.Popen(
            [sys.executable, "-m", "tests.helpers.tiny_processes", str(workdir)],
            env=os.environ | flags | {"MEETING": f"localhost:{port},2,{index}"},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for index in range(2)
    ]  # fmt: skip


def ends_of(pair, seconds=240):
    """[(exit code, stdout, stderr)], and how long the second to end outlived the first."""
    deadline, ended = time.monotonic() + seconds, {}
    texts = [None, None]
    while len(ended) < 2 and time.monotonic() < deadline:
        for index, process in enumerate(pair):
            if index not in ended and process.poll() is not None:
                ended[index] = time.monotonic()
        time.sleep(0.1)
    for index, process in enumerate(pair):
        process.kill()  # where it hangs, the test fails below
        texts[index] = process.communicate()
    assert len(ended) == 2, texts
    return [(p.returncode, *text) for p, text in zip(pair, texts, strict=True)], abs(ended[0] - ended[1])


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The same run in this process, on one device."""
    workdir = tmp_path_factory.mktemp("alone")
    train(workdir, batch_size=8, visits_per_epoch=8)
    return workdir


def assert_same_results(workdir, alone):
    one, two = (Checkpoints(folder).restore("latest") for folder in (alone, workdir))
    assert one.step == two.step == 3 * STEPS_PER_EPOCH
    assert largest_difference(two.state["params"], one.state["params"]) < 1e-4
    pairs = zip(load_scores(alone / "scores.npz"), load_scores(workdir / "scores.npz"), strict=True)
    for a, b in pairs:
        assert a.video_id == b.video_id and largest_difference(b[2:], a[2:]) < 1e-4


@pytest.mark.slow
def test_two_processes_train_and_evaluate_as_one(tmp_path, alone):
    ends, _ = ends_of(start_two(tmp_path))
    for index, (code, out, err) in enumerate(ends):
        assert code == 0 and "Traceback" not in err, err
        assert f"process {index} took the steps {list(range(12))}" in out
    said = [line for line in ends[1][1].splitlines() if not line.startswith("[Gloo]")]
    assert "report:" in ends[0][1] and len(said) == 1 and "train 12/12" not in ends[1][2]
    assert_same_results(tmp_path, alone)


@pytest.mark.slow
def test_sigterm_to_one_process_saves_the_same_step_and_the_next_start_goes_on(tmp_path, alone):
    ends, _ = ends_of(start_two(tmp_path, "term,1,5"))
    for code, out, err in ends:
        assert code == 0 and "Traceback" not in err, err
        assert "stopped by SIGTERM after step" in out + err
    step = Checkpoints(tmp_path).latest
    assert 6 <= step <= 9
    ends, _ = ends_of(start_two(tmp_path))
    assert [code for code, *_ in ends] == [0, 0] and f"resuming at step {step} of 12" in ends[0][1]
    assert_same_results(tmp_path, alone)


@pytest.mark.slow
@pytest.mark.parametrize(
    "event, loser, said",
    [
        ("input,1,3", 1, "error: the features of video 7 are gone"),
        ("bug,0,3", 0, "LookupError('a bug')"),
        ("kill,1,3", 1, ""),
        ("kill,0,3", 0, ""),
    ],
)
def test_a_process_that_fails_ends_the_other_within_a_minute(tmp_path, event, loser, said):
    ends, apart = ends_of(start_two(tmp_path, event))
    assert apart < 60 and said in ends[loser][2]
    assert all(code != 0 for code, *_ in ends)
    survivor = ends[1 - loser][2]
    assert survivor.strip() and (not said or said.removeprefix("error: ") in survivor), survivor
    assert "Traceback" not in survivor
