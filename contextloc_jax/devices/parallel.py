"""One step over all devices: 'shard_map' (jit over a mesh, global arrays) or 'pmap'; the same numbers from both.

Step functions are written for one device with collectives over AXIS; only this module and predict.py move arrays
between host and devices.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from contextloc_jax.core.errors import InputError

AXIS = "data"
LARGE_BYTES, PIECES = 8_000_000, 16  # arrays from this size on go to a GPU in so many pieces
Tree = Any


def compiler_options() -> dict | None:
    """Of programs for a GPU: none of Triton's matrix products, of which XLA would compile and time dozens a shape to
    find them no faster (docs/performance.md)."""
    return {"xla_gpu_enable_triton_gemm": False} if jax.default_backend() == "gpu" else None


def in_pieces(arrays: list[np.ndarray], devices: list[jax.Device]) -> list[jax.Array]:
    """Every array [n, ...] on its device. A GPU reads pinned memory alone, to which the host first copies what is to
    be sent, an array in one thread: of pieces several are copied while others are sent.

    Waits for the pieces, as what is asked of a GPU waits for all that it was asked before, the joining too.
    """
    pairs = zip(arrays, devices, strict=True)
    sent = [jax.device_put(np.array_split(rows, min(PIECES, len(rows))), device) for rows, device in pairs]
    return [_joined(pieces) for pieces in jax.block_until_ready(sent)]


@jax.jit
def _joined(pieces: list[jax.Array]) -> jax.Array:
    return jnp.concatenate(pieces)


class Parallel:
    """Places trees on all devices of all processes and compiles per-device functions for them."""

    def __init__(self, kind: str = "shard_map"):
        if kind not in ("shard_map", "pmap"):
            raise InputError(f"config.parallel is {kind!r}; expected 'shard_map' or 'pmap'")
        self.kind = kind
        self.num_devices = jax.device_count()
        self.num_local_devices = jax.local_device_count()
        self.mesh = Mesh(np.array(jax.devices()), (AXIS,))

    def check_batch_size(self, batch_size: int, accumulation: int = 1) -> None:
        """Raises InputError unless every device gets equally many videos in each of `accumulation` parts of a step."""
        unit = self.num_devices * accumulation
        lower = max(0, batch_size // unit * unit)
        if lower != batch_size or not lower:
            nearest = [str(size) for size in (lower, lower + unit) if size > 0]
            parts = f" in {accumulation} parts (config.gradient_accumulation)" if accumulation > 1 else ""
            raise InputError(
                f"config.batch_size is {batch_size}, which {self.num_devices} devices cannot share equally{parts}; "
                f"set it to {' or '.join(nearest)}"
            )

    def replicate(self, tree: Tree) -> Tree:
        """A host tree, the same on every process -> a device tree with a copy on every device."""
        if self.kind == "pmap":
            copies, local = self.num_local_devices, Mesh(np.array(jax.local_devices()), (AXIS,))
            placed = NamedSharding(local, P(AXIS))  # as pmap returns states: else it compiles a step for either
            return jax.tree.map(lambda a: jax.device_put(np.broadcast_to(a, (copies, *np.shape(a))), placed), tree)
        sharding = NamedSharding(self.mesh, P())
        return jax.tree.map(lambda a: jax.make_array_from_process_local_data(sharding, np.asarray(a)), tree)

    def shard(self, batch: Tree) -> Tree:
        """This process's rows of a batch -> a device tree split along the first axis."""
        if self.kind == "pmap":
            copies = self.num_local_devices
            return jax.tree.map(lambda a: a.reshape(copies, -1, *a.shape[1:]), batch)
        return jax.tree.map(self._shard_array, batch)

    def _shard_array(self, array) -> jax.Array:
        rows, sharding = np.asarray(array), NamedSharding(self.mesh, P(AXIS))
        if jax.default_backend() != "gpu" or rows.nbytes < LARGE_BYTES:
            return jax.make_array_from_process_local_data(sharding, rows)
        placed = in_pieces(np.split(rows, self.num_local_devices), list(self.mesh.local_devices))
        shape = len(placed[0]) * self.num_devices, *rows.shape[1:]
        return jax.make_array_from_single_device_arrays(shape, sharding, placed)

    def to_host(self, replicated: Tree) -> Tree:
        """A replicated device tree -> NumPy."""
        if self.kind == "pmap":
            replicated = jax.tree.map(lambda a: a.addressable_shards[0].data[0], replicated)
        return jax.tree.map(np.asarray, jax.device_get(replicated))

    def gather(self, sharded: Tree) -> Tree:
        """This process's rows of a sharded device tree -> NumPy, in the order `shard` was given them."""

        def rows(array):
            shards = sorted(array.addressable_shards, key=lambda shard: shard.index[0].start or 0)
            return np.concatenate([np.asarray(shard.data) for shard in shards])

        local = jax.tree.map(rows, sharded)
        if self.kind == "pmap":
            return jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:]), local)
        return local

    def compile_step(self, step: Callable) -> Callable:
        """step(state, batch) -> (state, metrics), per device, compiled; the state given is consumed."""
        if self.kind == "pmap":
            return jax.pmap(step, axis_name=AXIS, donate_argnums=0)
        mapped = jax.shard_map(step, mesh=self.mesh, in_specs=(P(), P(AXIS)), out_specs=(P(), P()))
        return jax.jit(mapped, donate_argnums=0, compiler_options=compiler_options())

    def compile_retrieval(self, retrieve: Callable) -> Callable:
        """retrieve(batch) -> batch, per device, compiled."""
        if self.kind == "pmap":
            return jax.pmap(retrieve, axis_name=AXIS)
        mapped = jax.shard_map(retrieve, mesh=self.mesh, in_specs=P(AXIS), out_specs=P(AXIS))
        return jax.jit(mapped, compiler_options=compiler_options())

    def compile_scoring(self, score: Callable) -> Callable:
        """score(variables, batch) -> rows, per device, compiled."""
        if self.kind == "pmap":
            return jax.pmap(score, axis_name=AXIS)
        mapped = jax.shard_map(score, mesh=self.mesh, in_specs=(P(), P(AXIS)), out_specs=P(AXIS))
        return jax.jit(mapped, compiler_options=compiler_options())
