"""The only inference path: padded batches -> what a stage's function says of every row, on the host."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import jax
import numpy as np

from contextloc_jax.devices import processes
from contextloc_jax.devices.parallel import Parallel
from contextloc_jax.devices.preemption import NO_SIGNAL, Stopped, StopSignal


class Inference:
    """Runs one function of (variables, batch) over many batches; compiles once for every bucket of shapes it meets."""

    def __init__(self, parallel: Parallel, score: Callable[[dict, Any], Any], stop_signal: StopSignal = NO_SIGNAL):
        self._parallel, self._stop_signal = parallel, stop_signal
        self._score = parallel.compile_scoring(score)

    def __call__(self, variables: dict, batches: Iterable[tuple[np.ndarray, Any]]) -> Iterator[tuple[int, Any]]:
        """Yields (index, result) for every row of all processes' batches, in every process.

        Raises Stopped where any process heard its stop signal.

        Args:
          variables: params and batch_stats on the host.
          batches: (indices [v] int32, this process's v rows of a batch); index -1 marks a padding row.
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
