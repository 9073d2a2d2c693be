"""The only inference path: padded batches -> the results of a stage's function for every row, on the host."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import jax
import numpy as np

from contextloc_jax.devices import processes
from contextloc_jax.devices.parallel import Parallel
from contextloc_jax.devices.preemption import NO_SIGNAL, Stopped, StopSignal


class Inference:
    """Runs one function of (variables, batch) over many batches. It is compiled once for every new set of shapes."""

    def __init__(self, parallel: Parallel, score: Callable[[dict, Any], Any], stop_signal: StopSignal = NO_SIGNAL):
        self._parallel, self._stop_signal = parallel, stop_signal
        self._score = parallel.compile_scoring(score)

    def __call__(self, variables: dict, batches: Iterable[tuple[np.ndarray, Any]]) -> Iterator[tuple[int, Any]]:
        """Yields (index, result) for every row of the batches of all processes, in every process.

        Raises Stopped if any process received its stop signal.

        Args:
          variables: params and batch_stats, on the host.
          batches: (indices [v] int32, the v rows of a batch that belong to this process); index -1: a padding row.
        """
        placed = self._parallel.replicate(variables)
        for indices, batch in batches:
            results = self._parallel.gather(self._score(placed, self._parallel.shard(batch)))
            stop = np.array([self._stop_signal.requested], np.int32)
            indices, results, stop = processes.gather((indices, results, stop))
            if stop.any():
                raise Stopped("stopped by SIGTERM during an evaluation")
            for row, index in enumerate(indices.tolist()):
                if index >= 0:
                    yield index, jax.tree.map(lambda part, row=row: part[row], results)
