"""Batches in parallel and ahead of time with tf.data: from each number of a range, its batch is made and prefetched.

There is no shuffle buffer and no iterator state to save. A resumed run starts at another number.
"""

import os
from collections.abc import Iterator

import numpy as np

from contextloc_jax.core.structs import Batch, Targets
from contextloc_jax.localization.alignment import Align
from input_pipeline.batches.evaluation_batches import EvaluationBatches
from input_pipeline.batches.targets import LabelRules
from input_pipeline.batches.training_batches import TrainingBatches, trainable_videos
from input_pipeline.datasets.video_source import VideoSource

IndexedBatch = tuple[np.ndarray, Batch]
PREFETCHED_BATCHES = 2


def steps_per_epoch(source: VideoSource, batch_size: int, visits_per_epoch: int) -> int:
    """Batches of an epoch: every video with ground truth `visits_per_epoch` times, without a last partial batch."""
    return len(trainable_videos(source)) * visits_per_epoch // batch_size


def train_batches(
    source: VideoSource,
    *,
    rules: LabelRules,
    regression_stats: np.ndarray,
    align: Align,
    batch_size: int,
    visits_per_epoch: int,
    centers: tuple[int, int, int],
    seed: int,
    num_steps: int,
    start_step: int = 0,
    process_index: int = 0,
    process_count: int = 1,
    workers: int | None = None,
) -> "BatchStream":
    """(video indices [v] int32, Batch) for the steps start_step .. num_steps - 1, where step 0 begins epoch 0.

    v = batch_size / process_count: this process has contiguous rows of every global batch. Batch `step` depends only on
    (seed, step), not on the first step, the processes or the workers. `regression_stats` [2, 2] (mean row, std row)
    standardize the targets. `align` says which snippets a segment covers. `centers` are the numbers of foreground,
    incomplete and background centers of a video. Videos without ground truth are left out. Nearly all batches have the
    same shape: see `TrainingBatches`. InputError: batch_size does not fit.
    """
    batches = TrainingBatches(
        source,
        rules=rules,
        regression_stats=regression_stats,
        align=align,
        batch_size=batch_size,
        visits_per_epoch=visits_per_epoch,
        centers=centers,
        seed=seed,
        process_index=process_index,
        process_count=process_count,
    )
    return BatchStream(
        batches.batch, range(start_step, num_steps), source.feature_dtype, has_targets=True, workers=workers
    )


def evaluation_batches(
    source: VideoSource,
    *,
    seed: int,
    align: Align,
    videos_per_batch: int = 1,
    process_index: int = 0,
    process_count: int = 1,
    workers: int | None = None,
) -> "BatchStream":
    """(video indices [v] int32, Batch without targets): every video exactly once, batches by bucket of T and N.

    v = videos_per_batch; index -1 marks a row without a video (in the last batch of a bucket). Neighbors are drawn from
    (seed, video id), so scores depend on nothing else. A video without proposals has a center_mask that is all False.
    `len()` is the number of batches, the same on every process. A second iteration reuses the neighbors of the first.
    """
    batches = EvaluationBatches(
        source,
        seed=seed,
        align=align,
        videos_per_batch=videos_per_batch,
        process_index=process_index,
        process_count=process_count,
    )
    return BatchStream(batches.batch, range(len(batches)), source.feature_dtype, has_targets=False, workers=workers)


class BatchStream:
    """make_batch(number) for every number, in order, computed ahead in `workers` threads (default: cores, at most 4).

    It can be iterated many times. Arrays are read-only. An exception in make_batch is raised unchanged where the stream
    is iterated.
    """

    def __init__(self, make_batch, numbers: range, feature_dtype, has_targets: bool, workers: int | None):
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
