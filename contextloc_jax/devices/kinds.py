"""The kinds of Parallel, by their names in config.parallel."""

from contextloc_jax.devices.mesh import MeshParallel
from contextloc_jax.devices.parallel import Parallel
from contextloc_jax.devices.pmap import PmapParallel

KINDS: dict[str, type[Parallel]] = {"shard_map": MeshParallel, "pmap": PmapParallel}
