"""Running one step on all devices: the interface of both kinds, and how large batches are sent to a GPU.

Step functions are written for one device, with collectives over AXIS. `mesh.py` (shard_map) and `pmap.py` run them on
every device of every process, and give the same numbers. Training and inference move batches and states between host
and devices only through this interface.
"""

import abc
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from contextloc_jax.core.errors import InputError

AXIS = "data"
LARGE_BYTES, PIECES = 8_000_000, 16  # an array of this size or larger goes to a GPU in this number of pieces
Tree = Any


class Parallel(abc.ABC):
    """Places trees on all devices of all processes and compiles per-device functions for them."""

    def __init__(self):
        self.num_devices = jax.device_count()
        self.num_local_devices = jax.local_device_count()
        self.mesh = Mesh(np.array(jax.devices()), (AXIS,))

    def check_batch_size(self, batch_size: int, accumulation: int = 1) -> None:
        """InputError: the devices do not get the same number of videos in each of `accumulation` parts of a step."""
        unit = self.num_devices * accumulation
        lower = max(0, batch_size // unit * unit)
        if lower != batch_size or not lower:
            nearest = [str(size) for size in (lower, lower + unit) if size > 0]
            parts = f" in {accumulation} parts (config.gradient_accumulation)" if accumulation > 1 else ""
            raise InputError(
                f"config.batch_size is {batch_size}, which {self.num_devices} devices cannot share equally{parts}; "
                f"set it to {' or '.join(nearest)}"
            )

    @abc.abstractmethod
    def replicate(self, tree: Tree) -> Tree:
        """A host tree, the same on every process -> a device tree with a copy on every device."""

    @abc.abstractmethod
    def shard(self, batch: Tree) -> Tree:
        """The rows of a batch that belong to this process -> a device tree, split along the first axis."""

    @abc.abstractmethod
    def to_host(self, replicated: Tree) -> Tree:
        """A replicated device tree -> NumPy."""

    @abc.abstractmethod
    def gather(self, sharded: Tree) -> Tree:
        """The rows of a sharded device tree that belong to this process -> NumPy, in the order given to `shard`."""

    @abc.abstractmethod
    def compile_step(self, step: Callable) -> Callable:
        """step(state, batch) -> (state, metrics), per device, compiled. The given state cannot be used again."""

    @abc.abstractmethod
    def compile_rows(self, function: Callable) -> Callable:
        """function(batch) -> rows, per device, compiled."""

    @abc.abstractmethod
    def compile_scoring(self, score: Callable) -> Callable:
        """score(variables, batch) -> rows, per device, compiled."""


def local_rows(sharded: Tree) -> Tree:
    """The shards that this process holds of every array, one after the other along the first axis, as NumPy."""

    def rows(array):
        shards = sorted(array.addressable_shards, key=lambda shard: shard.index[0].start or 0)
        return np.concatenate([np.asarray(shard.data) for shard in shards])

    return jax.tree.map(rows, sharded)


def in_pieces(arrays: list[np.ndarray], devices: list[jax.Device]) -> list[jax.Array]:
    """Sends every array [n, ...] to its device, in pieces that are joined there.

    A GPU reads only pinned memory, so the host first copies each array there, in one thread. With pieces, several are
    copied while others are sent. The join is queued only after all pieces have arrived: a GPU works in the order of its
    queue, so a waiting join would hold up the work behind it.
    """
    pairs = zip(arrays, devices, strict=True)
    sent = [jax.device_put(np.array_split(rows, min(PIECES, len(rows))), device) for rows, device in pairs]
    return [_joined(pieces) for pieces in jax.block_until_ready(sent)]


@jax.jit
def _joined(pieces: list[jax.Array]) -> jax.Array:
    return jnp.concatenate(pieces)
