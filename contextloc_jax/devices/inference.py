"""The only inference path: padded batches -> scores of every proposal on the host."""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np

from contextloc_jax.core.structs import Batch, VideoScores
from contextloc_jax.devices import processes
from contextloc_jax.devices.parallel import Parallel
from contextloc_jax.devices.preemption import NO_SIGNAL, Stopped, StopSignal
from contextloc_jax.localization.contextloc import ContextLoc


class Video(NamedTuple):
    """What scores need of a video beside its batch. proposals [N, 2] float64: fractions of the video."""

    video_id: str
    duration_seconds: float
    proposals: np.ndarray


class Predictor:
    """Scores videos with one model; compiles once for every bucket of shapes it meets."""

    def __init__(self, parallel: Parallel, model: ContextLoc, stop_signal: StopSignal = NO_SIGNAL):
        self._parallel, self._stop_signal = parallel, stop_signal
        self._score = parallel.compile_scoring(lambda variables, batch: model.apply(variables, batch))

    def __call__(
        self,
        variables: dict,
        batches: Iterable[tuple[np.ndarray, Batch]],
        video: Callable[[int], Video],
        regression_stats: np.ndarray,
    ) -> Iterator[VideoScores]:
        """Yields, in every process, the scores of every video of all processes' `batches` (index < 0: a padding row).

        Raises Stopped where any process heard its stop signal.

        Args:
          variables: params and batch_stats on the host.
          batches: this process's rows of every batch.
          video: index -> the video's facts.
          regression_stats: [2, 2], mean and standard deviation of (center shift, log size) of the training set.
        """
        placed = self._parallel.replicate(variables)
        mean, deviation = np.asarray(regression_stats, np.float64)
        for indices, batch in batches:
            scores = self._parallel.gather(self._score(placed, self._parallel.shard(batch)))
            stop = np.array([self._stop_signal.requested], np.int32)
            indices, scores, stop = processes.gather((indices, scores, stop))
            if stop.any():
                raise Stopped("stopped by SIGTERM during an evaluation")
            for row, index in enumerate(indices):
                if index < 0:
                    continue
                video_id, duration_seconds, proposals = video(index)
                activity, completeness, regression = (part[row, : len(proposals)] for part in scores)
                yield VideoScores(
                    video_id, duration_seconds, proposals, activity, completeness, regression * deviation + mean
                )
