"""One device, several, and several processes train and score alike. Slow ones try every layout."""

import os
import subprocess
import sys

import numpy as np
import pytest

from benchmarks.exchanged_bytes import exchanged_bytes
from contextloc_jax.devices.kinds import KINDS
from tests.helpers.free_port import free_port
from tests.helpers.random_videos import largest_difference
from tests.helpers.tiny_runs import WIDTH
from tests.helpers.virtual_devices import CASES, run, tiny_model

pytestmark = pytest.mark.usefixtures("quick_compiler")
ON_ONE, ON_FOUR = ("dropout shard_map", "evaluation shard_map"), ("dropout pmap", "evaluation pmap")
LAYOUTS = {"one device": (1, 1), "eight devices": (8, 1), "two processes": (4, 2)}  # devices a process, processes
ON_EACH = dict.fromkeys(LAYOUTS, CASES) | {"one device": [case for case in CASES if "shard_map" in case]}


def started(path, devices: int, cases, num_processes=1, environment=None) -> list[subprocess.Popen]:
    """Processes that together write what `cases` give on virtual devices to `path`."""
    flags = {"XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}", "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-m", "tests.helpers.virtual_devices", str(path), *cases]
    port = free_port()

    def start(index):
        meeting = {"MEETING": f"localhost:{port},{num_processes},{index}"} if num_processes > 1 else {}
        variables = os.environ | flags | meeting | (environment or {})
        return subprocess.Popen(command, env=variables, stderr=subprocess.PIPE, text=True)

    return [start(index) for index in range(num_processes)]


def finished(processes, path, devices: int) -> dict:
    """What they wrote: {'<case>: <name>': array}."""
    for process in processes:
        _, errors = process.communicate()
        assert process.returncode == 0, errors
    found = dict(np.load(path))
    assert found.pop("devices") == devices
    return found


def assert_agree(one, one_case, other, other_case, tolerance=1e-5):
    """Every scalar of every step, and every array, to `tolerance` of its largest entry."""
    one, other = of_case(one, one_case), of_case(other, other_case)
    assert one.keys() == other.keys() and one
    for name in (name for name in one if not name.startswith("program")):
        assert largest_difference(other[name], one[name]) < tolerance, name


def of_case(found, case):
    return {name.split(": ")[1]: value for name, value in found.items() if name.startswith(f"{case}: ")}


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """What some cases give on this process's device and on four."""
    path = tmp_path_factory.mktemp("devices") / "four.npz"
    others = started(path, 4, ON_FOUR, environment={"JAX_DISABLE_MOST_OPTIMIZATIONS": "1"})  # as quick_compiler
    here = {name: value for case in ON_ONE for name, value in run(case).items()}
    return here, finished(others, path, 4)


@pytest.fixture(scope="module")
def thorough(tmp_path_factory):
    """What all cases give in every layout."""
    found, folder = {}, tmp_path_factory.mktemp("devices")
    for layout, (devices, num_processes) in LAYOUTS.items():
        path = folder / f"{layout}.npz"
        processes = started(path, devices, ON_EACH[layout], num_processes)
        found[layout] = finished(processes, path, devices * num_processes)
    return found


def test_four_devices_train_as_one_does_and_draw_the_same_dropout(quick):
    assert_agree(quick[0], "dropout shard_map", quick[1], "dropout pmap")


def test_four_devices_score_as_one_does_though_the_videos_do_not_divide(quick):
    assert_agree(quick[0], "evaluation shard_map", quick[1], "evaluation pmap")


def test_three_steps_change_what_they_should(quick):
    """Else the agreement above would mean nothing."""
    found = of_case(quick[0], "dropout shard_map")
    assert found[".step"] == 3 and np.all(found["learning_rate"] > 0)
    assert len(set(found["loss/total"])) == 3 and np.all(found["gradient_norm"] > 0)
    assert np.abs(found[".batch_stats['activity_norm']['mean']"]).max() > 0.01


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["eight devices", "two processes"])
@pytest.mark.parametrize("case", [case for case in CASES if not case.startswith("per replica")])
def test_every_layout_trains_and_scores_as_one_device_does(thorough, layout, case):
    """float32 for 3 steps, float64 for 20; one case of one device is what all are compared with."""
    name = case.rsplit(" ", 1)[0]
    tolerance = 1e-8 if name == "float64" else 1e-5
    assert_agree(thorough["one device"], f"{name} shard_map", thorough[layout], case, tolerance)


@pytest.mark.slow
def test_twenty_steps_in_float64_are_twenty_in_float64(thorough):
    found = of_case(thorough["two processes"], "float64 shard_map")
    assert found[".step"] == 20 and len(set(found["loss/total"])) == 20
    assert all(value.dtype == np.float64 for name, value in found.items() if ".params" in name)


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["eight devices", "two processes"])
def test_per_replica_statistics_agree_wherever_the_replicas_are(thorough, layout):
    eight = thorough["eight devices"]
    for kind in KINDS:
        assert_agree(eight, "per replica shard_map", thorough[layout], f"per replica {kind}")


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["eight devices", "two processes"])
@pytest.mark.parametrize("name, most", [("per replica", 1), ("plain", 3), ("dropout", 3)])
def test_a_step_exchanges_little_and_asks_nothing_of_the_host(thorough, layout, name, most):
    for kind in KINDS:
        facts = of_case(thorough[layout], f"{name} {kind}")
        assert 1 <= facts["program all-reduces"] <= most and facts["program collectives"] <= most
        assert facts["program callbacks"] == 0 and facts["program donates"] == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["per replica", "plain"])
def test_the_bytes_that_devices_exchange_are_those_computed_beforehand(thorough, name):
    expected = exchanged_bytes(tiny_model(name), WIDTH, num_devices=8)
    found = of_case(thorough["eight devices"], f"{name} shard_map")["program exchanged bytes"]
    assert found == sum(expected.values())


@pytest.mark.slow
def test_dropout_drops(thorough):
    plain, dropout = (of_case(thorough["eight devices"], f"{name} shard_map") for name in ("plain", "dropout"))
    assert largest_difference(dropout["loss/activity"], plain["loss/activity"]) > 0.001


@pytest.mark.slow
def test_statistics_per_replica_are_those_of_the_replica(thorough):
    """On one device the same as global ones, on eight not: normalized by fewer rows, but averaged in the state."""
    one, eight = (thorough[layout] for layout in ("one device", "eight devices"))
    assert_agree(one, "plain shard_map", one, "per replica shard_map")
    one, eight = (of_case(found, "per replica shard_map") for found in (one, eight))
    assert largest_difference(eight["loss/total"], one["loss/total"]) > 1e-4
    mean = ".batch_stats['completeness_norm']['mean']"
    assert 1e-5 < largest_difference(eight[mean], one[mean]) < 0.3
