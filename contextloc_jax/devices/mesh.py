"""'shard_map': one program over a mesh of all devices, with global arrays."""

from collections.abc import Callable

import jax
import numpy as np
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from contextloc_jax.devices import parallel
from contextloc_jax.devices.parallel import AXIS, Parallel, Tree


class MeshParallel(Parallel):
    """jit of shard_map over `self.mesh`."""

    def replicate(self, tree: Tree) -> Tree:
        sharding = NamedSharding(self.mesh, P())
        return jax.tree.map(lambda a: jax.make_array_from_process_local_data(sharding, np.asarray(a)), tree)

    def shard(self, batch: Tree) -> Tree:
        return jax.tree.map(self._shard_array, batch)

    def _shard_array(self, array) -> jax.Array:
        rows, sharding = np.asarray(array), NamedSharding(self.mesh, P(AXIS))
        if jax.default_backend() != "gpu" or rows.nbytes < parallel.LARGE_BYTES:
            return jax.make_array_from_process_local_data(sharding, rows)
        placed = parallel.in_pieces(np.split(rows, self.num_local_devices), list(self.mesh.local_devices))
        shape = len(placed[0]) * self.num_devices, *rows.shape[1:]
        return jax.make_array_from_single_device_arrays(shape, sharding, placed)

    def to_host(self, replicated: Tree) -> Tree:
        return jax.tree.map(np.asarray, jax.device_get(replicated))

    def gather(self, sharded: Tree) -> Tree:
        return parallel.local_rows(sharded)

    def compile_step(self, step: Callable) -> Callable:
        return self._compile(step, (P(), P(AXIS)), (P(), P()), donate_argnums=0)

    def compile_rows(self, function: Callable) -> Callable:
        return self._compile(function, P(AXIS), P(AXIS))

    def compile_scoring(self, score: Callable) -> Callable:
        return self._compile(score, (P(), P(AXIS)), P(AXIS))

    def _compile(self, function: Callable, in_specs, out_specs, **options) -> Callable:
        mapped = jax.shard_map(function, mesh=self.mesh, in_specs=in_specs, out_specs=out_specs)
        return jax.jit(mapped, compiler_options=compiler_options(), **options)


def compiler_options() -> dict | None:
    """Options for programs on a GPU: no matrix products by Triton. XLA would compile and time dozens of them for every
    shape, and they are not faster (docs/performance.md)."""
    return {"xla_gpu_enable_triton_gemm": False} if jax.default_backend() == "gpu" else None
