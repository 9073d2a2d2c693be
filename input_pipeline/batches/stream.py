"""Batches in parallel and ahead of time with tf.data: from each number of a range, its batch is made and prefetched.

There is no shuffle buffer and no iterator state to save. A resumed run starts at another number.
"""

import os
from collections.abc import Callable, Iterator

import numpy as np

from contextloc_jax.core.structs import Batch, Targets

IndexedBatch = tuple[np.ndarray, Batch]
PREFETCHED_BATCHES = 2


class BatchStream:
    """make_batch(number) for every number, in order, computed ahead in `workers` threads (default: cores, at most 4).

    make_batch: number -> (video indices [v] int32, Batch), such as TrainingBatches.batch. The stream can be iterated
    many times. Arrays are read-only. An exception in make_batch is raised unchanged where the stream is iterated.
    """

    def __init__(
        self,
        make_batch: Callable[[int], IndexedBatch],
        numbers: range,
        feature_dtype: np.dtype,
        has_targets: bool,
        workers: int | None = None,
    ):
        self._make_batch, self._numbers, self._has_targets = make_batch, numbers, has_targets
        self._feature_dtype, self._workers = feature_dtype, workers or min(4, os.cpu_count())

    def __len__(self) -> int:
        return len(self._numbers)

    def __iter__(self) -> Iterator[IndexedBatch]:
        import tensorflow as tf  # here, so that importing this module does not import TensorFlow

        failures: dict[int, Exception] = {}

        def flat_batch(number):
            try:
                indices, batch = self._make_batch(int(number))
                return [indices, *batch[:-1], *(batch.targets or ())]
            except Exception as error:
                failures[int(number)] = error  # TensorFlow would raise an exception of its own type
                raise

        def mapped(number):
            return tf.numpy_function(flat_batch, [number], self._dtypes(tf), stateful=False)

        dataset = tf.data.Dataset.range(self._numbers.start, self._numbers.stop)
        dataset = dataset.map(mapped, num_parallel_calls=self._workers, deterministic=True)
        dataset = dataset.prefetch(PREFETCHED_BATCHES)
        try:
            for indices, *arrays in dataset.as_numpy_iterator():
                fields, targets = arrays[: len(Batch._fields) - 1], arrays[len(Batch._fields) - 1 :]
                yield indices, Batch(*fields, targets=Targets(*targets) if self._has_targets else None)
        except tf.errors.OpError:
            if failures:
                raise failures[min(failures)] from None
            raise

    def _dtypes(self, tf) -> list:
        """The dtypes of the video indices, the arrays of Batch and those of Targets, in this order."""
        batch = [self._feature_dtype, tf.int32, tf.int32, tf.float32, tf.int32, tf.int32, tf.bool, tf.uint32]
        targets = [tf.int32, tf.int32, tf.float32, tf.int32]
        return [tf.int32, *map(tf.as_dtype, batch), *(targets if self._has_targets else [])]
