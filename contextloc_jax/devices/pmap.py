"""'pmap': one program per device. Every array has a first axis of local devices."""

from collections.abc import Callable

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from contextloc_jax.devices.parallel import AXIS, Parallel, Tree, local_rows


class PmapParallel(Parallel):
    """jax.pmap over the devices of this process and, through collectives, of all others."""

    def replicate(self, tree: Tree) -> Tree:
        copies, local = self.num_local_devices, Mesh(np.array(jax.local_devices()), (AXIS,))
        placed = NamedSharding(local, P(AXIS))  # that of the states pmap returns; with another it would compile twice
        return jax.tree.map(lambda a: jax.device_put(np.broadcast_to(a, (copies, *np.shape(a))), placed), tree)

    def shard(self, batch: Tree) -> Tree:
        return jax.tree.map(lambda a: a.reshape(self.num_local_devices, -1, *a.shape[1:]), batch)

    def to_host(self, replicated: Tree) -> Tree:
        first = jax.tree.map(lambda a: a.addressable_shards[0].data[0], replicated)
        return jax.tree.map(np.asarray, jax.device_get(first))

    def gather(self, sharded: Tree) -> Tree:
        return jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:]), local_rows(sharded))

    def compile_step(self, step: Callable) -> Callable:
        return jax.pmap(step, axis_name=AXIS, donate_argnums=0)

    def compile_rows(self, function: Callable) -> Callable:
        return jax.pmap(function, axis_name=AXIS)

    def compile_scoring(self, score: Callable) -> Callable:
        return jax.pmap(score, axis_name=AXIS)
