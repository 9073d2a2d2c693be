"""Arrays to devices and back, and steps and scoring on them, for every kind of Parallel."""

import jax
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from contextloc_jax.core.errors import InputError
from contextloc_jax.devices import parallel as parallel_module
from contextloc_jax.devices.kinds import KINDS
from contextloc_jax.devices.mesh import MeshParallel
from contextloc_jax.devices.parallel import AXIS

pytestmark = pytest.mark.usefixtures("quick_compiler")


@pytest.mark.parametrize("kind", KINDS)
def test_rows_come_back_in_the_order_they_were_given(kind):
    parallel = KINDS[kind]()
    batch = {"rows": np.arange(12, dtype=np.float32).reshape(4, 3), "names": np.arange(4, dtype=np.int32)}
    score = parallel.compile_scoring(lambda variables, batch: {"sum": batch["rows"].sum(1) + variables, **batch})
    found = parallel.gather(score(parallel.replicate(np.float32(0.5)), parallel.shard(batch)))
    assert found["sum"].tolist() == [3.5, 12.5, 21.5, 30.5]
    assert np.array_equal(found["rows"], batch["rows"]) and np.array_equal(found["names"], batch["names"])
    assert all(type(array) is np.ndarray for array in found.values())


@pytest.mark.parametrize("rows", [3, 48])
def test_a_large_array_goes_to_a_gpu_in_pieces_and_arrives_whole(monkeypatch, rows):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(parallel_module, "LARGE_BYTES", 100)
    sent, in_pieces = [], parallel_module.in_pieces
    monkeypatch.setattr(parallel_module, "in_pieces", lambda *a: sent.append(a) or in_pieces(*a))
    parallel = MeshParallel()
    batch = {
        "large": np.random.default_rng(0).standard_normal((rows * parallel.num_local_devices, 7, 2)),
        "few": np.ones(parallel.num_local_devices),
    }
    batch = jax.tree.map(np.float32, batch)
    placed = parallel.shard(batch)
    assert placed["large"].sharding.is_equivalent_to(NamedSharding(parallel.mesh, PartitionSpec("data")), 3)
    found = parallel.gather(placed)
    assert all(np.array_equal(found[name], batch[name]) for name in batch)
    assert [sum(map(len, arrays)) for arrays, _ in sent] == [len(batch["large"])]


@pytest.mark.parametrize("kind", KINDS)
def test_a_state_comes_back_as_it_was(kind):
    parallel = KINDS[kind]()
    tree = {"a": np.float32(1.5), "b": np.arange(6, dtype=np.int32).reshape(2, 3), "c": {}}
    step = parallel.compile_step(lambda state, batch: (state, {}))
    found = parallel.to_host(step(parallel.replicate(tree), parallel.shard(np.zeros(1)))[0])
    assert jax.tree.structure(found) == jax.tree.structure(tree)
    assert found["a"].shape == () and found["a"].dtype == np.float32 and found["a"] == 1.5
    assert found["b"].dtype == np.int32 and np.array_equal(found["b"], tree["b"])


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_sums_over_the_batch_and_consumes_its_state(kind):
    parallel = KINDS[kind]()

    def step(state, batch):
        total = jax.lax.psum(batch.sum(), AXIS)
        return state + total, {"total": total}

    compiled, rows = parallel.compile_step(step), np.arange(8, dtype=np.float32)
    first, _ = compiled(parallel.replicate(np.zeros((), np.float32)), parallel.shard(rows))
    second, scalars = compiled(first, parallel.shard(rows))
    assert parallel.to_host(second) == 56 and parallel.to_host(scalars)["total"] == 28
    assert first.is_deleted() and not second.is_deleted()


@pytest.mark.parametrize("size", [4, 8, 32])
def test_a_batch_that_divides_is_taken(monkeypatch, size):
    monkeypatch.setattr(jax, "device_count", lambda: 4)
    MeshParallel().check_batch_size(size)


@pytest.mark.parametrize(
    "size, nearest", [(6, "4 or 8"), (3, "4"), (1, "4"), (0, "4"), (-4, "4"), (-1, "4"), (9, "8 or 12")]
)
def test_a_batch_that_does_not_divide_is_refused_with_the_nearest_that_do(monkeypatch, size, nearest):
    monkeypatch.setattr(jax, "device_count", lambda: 4)
    message = rf"^config\.batch_size is {size}, which 4 devices cannot share equally; set it to {nearest}$"
    with pytest.raises(InputError, match=message):
        MeshParallel().check_batch_size(size)
