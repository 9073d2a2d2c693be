import os
import subprocess
import sys

import jax
import numpy as np
import pytest

from contextloc_jax.errors import InputError
from contextloc_jax.parallel import AXIS, Parallel
from tests.random_videos import largest_difference
from tests.virtual_devices import CASES, KINDS, run

pytestmark = pytest.mark.usefixtures("quick_compiler")
ON_ONE, ON_FOUR = ("dropout shard_map", "evaluation shard_map"), ("dropout pmap", "evaluation pmap")


def started(path, devices: int, cases, environment=None):
    """A process that writes what `cases` give on virtual devices to `path`."""
    flags = {"XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}", "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-m", "tests.virtual_devices", str(path), *cases]
    environment = os.environ | flags | (environment or {})
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


def finished(process, path, devices: int) -> dict:
    """What it wrote: {'<case>: <name>': array}."""
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    found = dict(np.load(path))
    assert found.pop("devices") == devices
    return found


def assert_agree(one, one_case, four, four_case, tolerance=1e-5):
    """Every scalar of every step, and every array, to `tolerance` of its largest entry."""
    one, four = of_case(one, one_case), of_case(four, four_case)
    assert one.keys() == four.keys() and one
    for name in one:
        assert largest_difference(four[name], one[name]) < tolerance, name


def of_case(found, case):
    return {name.split(": ")[1]: value for name, value in found.items() if name.startswith(f"{case}: ")}


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """What some cases give on this process's device and on four."""
    path = tmp_path_factory.mktemp("devices") / "four.npz"
    process = started(path, 4, ON_FOUR, {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1"})  # as quick_compiler
    here = {name: value for case in ON_ONE for name, value in run(case).items()}
    return here, finished(process, path, 4)


@pytest.fixture(scope="module")
def thorough(tmp_path_factory):
    """What all cases give on one device and on four."""
    paths = {devices: tmp_path_factory.mktemp("devices") / f"{devices}.npz" for devices in (1, 4)}
    processes = {devices: started(path, devices, CASES) for devices, path in paths.items()}
    return tuple(finished(process, paths[devices], devices) for devices, process in processes.items())


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
@pytest.mark.parametrize("case", [case for case in CASES if not case.startswith("per replica")])
def test_every_case_agrees_on_four_devices_and_one(thorough, case):
    assert_agree(thorough[0], case, thorough[1], case)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted({case.rsplit(" ", 1)[0] for case in CASES}))
@pytest.mark.parametrize("devices", [1, 4])
def test_shard_map_and_pmap_agree(thorough, name, devices):
    found = thorough[devices > 1]
    assert_agree(found, f"{name} shard_map", found, f"{name} pmap")


@pytest.mark.slow
def test_dropout_drops(thorough):
    plain, dropout = (of_case(thorough[1], f"{name} shard_map") for name in ("plain", "dropout"))
    assert largest_difference(dropout["loss/activity"], plain["loss/activity"]) > 1e-3  # 100 times what agrees


@pytest.mark.slow
def test_statistics_per_replica_are_those_of_the_replica(thorough):
    """On one device the same as global ones, on four not: normalised by fewer rows, but averaged in the state."""
    assert_agree(thorough[0], "plain shard_map", thorough[0], "per replica shard_map")
    one, four = (of_case(found, "per replica shard_map") for found in thorough)
    assert largest_difference(four["loss/total"], one["loss/total"]) > 1e-4
    mean = ".batch_stats['completeness_norm']['mean']"
    assert 1e-5 < largest_difference(four[mean], one[mean]) < 0.3


@pytest.mark.parametrize("kind", KINDS)
def test_rows_come_back_in_the_order_they_were_given(kind):
    parallel = Parallel(kind)
    batch = {"rows": np.arange(12, dtype=np.float32).reshape(4, 3), "names": np.arange(4, dtype=np.int32)}
    score = parallel.compile_scoring(lambda variables, batch: {"sum": batch["rows"].sum(1) + variables, **batch})
    found = parallel.gather(score(parallel.replicate(np.float32(0.5)), parallel.shard(batch)))
    assert found["sum"].tolist() == [3.5, 12.5, 21.5, 30.5]
    assert np.array_equal(found["rows"], batch["rows"]) and np.array_equal(found["names"], batch["names"])
    assert all(type(array) is np.ndarray for array in found.values())


@pytest.mark.parametrize("kind", KINDS)
def test_a_state_comes_back_as_it_was(kind):
    parallel = Parallel(kind)
    tree = {"a": np.float32(1.5), "b": np.arange(6, dtype=np.int32).reshape(2, 3), "c": {}}
    step = parallel.compile_step(lambda state, batch: (state, {}))
    found = parallel.to_host(step(parallel.replicate(tree), parallel.shard(np.zeros(1)))[0])
    assert jax.tree.structure(found) == jax.tree.structure(tree)
    assert found["a"].shape == () and found["a"].dtype == np.float32 and found["a"] == 1.5
    assert found["b"].dtype == np.int32 and np.array_equal(found["b"], tree["b"])


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_sums_over_the_batch_and_consumes_its_state(kind):
    parallel = Parallel(kind)

    def step(state, batch):
        total = jax.lax.psum(batch.sum(), AXIS)
        return state + total, {"total": total}

    compiled, rows = parallel.compile_step(step), np.arange(8, dtype=np.float32)
    first, _ = compiled(parallel.replicate(np.zeros((), np.float32)), parallel.shard(rows))
    second, scalars = compiled(first, parallel.shard(rows))
    assert parallel.to_host(second) == 56 and parallel.to_host(scalars)["total"] == 28
    assert first.is_deleted() and not second.is_deleted()


def test_an_unknown_kind_lists_the_known_ones():
    with pytest.raises(InputError, match=r"^config\.parallel is 'pjit'; expected 'shard_map' or 'pmap'$"):
        Parallel("pjit")


@pytest.mark.parametrize("size", [4, 8, 32])
def test_a_batch_that_divides_is_taken(monkeypatch, size):
    monkeypatch.setattr(jax, "device_count", lambda: 4)
    Parallel().check_batch_size(size)


@pytest.mark.parametrize(
    "size, nearest", [(6, "4 or 8"), (3, "4"), (1, "4"), (0, "4"), (-4, "4"), (-1, "4"), (9, "8 or 12")]
)
def test_a_batch_that_does_not_divide_is_refused_with_the_nearest_that_do(monkeypatch, size, nearest):
    monkeypatch.setattr(jax, "device_count", lambda: 4)
    message = rf"^config\.batch_size is {size}, which 4 devices cannot share equally; set it to {nearest}$"
    with pytest.raises(InputError, match=message):
        Parallel().check_batch_size(size)
