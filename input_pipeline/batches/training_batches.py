"""Batches for training, in padded NumPy arrays. The content of batch number `step` is a pure function of `step`.

So a run can start at any step, and any number of processes and workers get the same batches: there is no position to
keep, and every random draw is keyed by (seed, epoch, visit, video id). stream.py makes them ahead and in parallel.
"""

import threading

import numpy as np

from contextloc_jax.core.errors import InputError
from contextloc_jax.core.keyed_draws import KeyedDraws, keyed_permutation, keyed_uint32, video_key
from contextloc_jax.core.structs import Batch, count_centers
from contextloc_jax.localization.alignment import Align
from contextloc_jax.localization.neighbors import tree_hops
from contextloc_jax.localization.tree import INNER_NODES, TREE_NODES
from input_pipeline.batches.padding import empty_batch, empty_targets, fill_features
from input_pipeline.batches.sampling import Sample, TrainingPool, center_types, draw_sample, training_pool
from input_pipeline.batches.shapes import power_of_two, usual_length, usual_nodes
from input_pipeline.batches.targets import LabelRules, pools
from input_pipeline.datasets.video_source import VideoSource

_SAMPLED_DRAWS = 256


def trainable_videos(source: VideoSource) -> np.ndarray:
    """Indices of the videos with ground truth. Training cannot use the others (the authors' `exclude_empty`)."""
    return np.array([i for i, record in enumerate(source.records) if len(record.gt_labels)], np.int64)


def steps_per_epoch(source: VideoSource, batch_size: int, visits_per_epoch: int) -> int:
    """Batches of an epoch: every video with ground truth `visits_per_epoch` times, without a last partial batch."""
    return len(trainable_videos(source)) * visits_per_epoch // batch_size


class TrainingBatches:
    """`batch(step)` -> (video indices [v] int32, Batch of v videos): the rows of one process in global batch `step`.

    An epoch is a permutation, keyed by (seed, epoch), of every (video with ground truth, visit). Its last partial batch
    is dropped. `centers` are the numbers of foreground, incomplete and background centers of a video; C is their sum.

    Every new shape compiles a new program, so nearly all batches have one shape. The exceptions are the same for every
    process and every first step:

    T is the least power of two that holds the longest video of the global batch, but at least the length that is
    enough for half of all batches (`usual_length`). One long video makes only its own batch longer.
    M is 21 C, the most nodes that C trees can have. But trees share many nodes. If a sample of draws shows that a fifth
    of the room would stay empty, M is smaller in all steps (`usual_nodes`), and 21 C only in the rare batch that needs
    more. Several processes would not agree on such a batch, so with them M is always 21 C.

    InputError: batch_size is not a multiple of the number of processes, or it is more than an epoch.
    """

    def __init__(
        self,
        source: VideoSource,
        *,
        rules: LabelRules,
        regression_stats: np.ndarray,
        align: Align,
        batch_size: int,
        visits_per_epoch: int,
        centers: tuple[int, int, int],
        seed: int,
        process_index: int = 0,
        process_count: int = 1,
    ):
        if batch_size % process_count:
            raise InputError(f"batch_size {batch_size} is not a multiple of the {process_count} processes")
        self._videos = trainable_videos(source)
        self.steps_per_epoch = steps_per_epoch(source, batch_size, visits_per_epoch)
        if not self.steps_per_epoch:
            raise InputError(
                f"batch_size {batch_size} is more than one epoch: {len(self._videos)} training videos with ground "
                f"truth x {visits_per_epoch} visits_per_epoch"
            )
        self._source, self._rules, self._stats, self._align = source, rules, regression_stats, align
        self._batch_size, self._visits, self._seed, self._centers = batch_size, visits_per_epoch, seed, centers
        rows = batch_size // process_count
        self._rows = slice(process_index * rows, (process_index + 1) * rows)
        self._usual_length = usual_length(source.num_snippets[self._videos], batch_size)
        self._pools: dict[int, tuple[TrainingPool, np.ndarray]] = {}
        self._center_types: dict[int, np.ndarray] = {}
        self._orders: dict[int, np.ndarray] = {}
        self._lock = threading.Lock()
        most_nodes = TREE_NODES * sum(centers)
        self._nodes = usual_nodes(self._sampled_nodes(), most_nodes) if process_count == 1 else most_nodes

    def batch(self, step: int) -> tuple[np.ndarray, Batch]:
        """The rows of global batch `step` that belong to this process."""
        epoch, position = divmod(step, self.steps_per_epoch)
        order = self._epoch_order(epoch)[position * self._batch_size :][: self._batch_size]
        visits, places = np.divmod(order, len(self._videos))
        all_videos = self._videos[places]
        totals = count_centers(np.stack([self._types(video) for video in all_videos]))
        num_snippets = power_of_two(self._source.num_snippets[all_videos].max(), self._usual_length)
        visits, videos = visits[self._rows], all_videos[self._rows]
        count, centers = len(videos), sum(self._centers)
        batch = empty_batch(self._source, count, num_snippets, TREE_NODES * centers, INNER_NODES * centers, centers)
        batch = batch._replace(targets=empty_targets(count, centers, totals))
        for row, (visit, video) in enumerate(zip(visits.tolist(), videos.tolist(), strict=True)):
            self._fill(batch, row, video, epoch, visit)
        if not batch.node_count[:, self._nodes :].any():
            batch = batch._replace(
                segments=batch.segments[:, : self._nodes], node_count=batch.node_count[:, : self._nodes]
            )
        return videos.astype(np.int32), batch

    def _fill(self, batch: Batch, row: int, video: int, epoch: int, visit: int) -> None:
        _, snippets = self._pool(video)
        key, sample = self._draw(video, epoch, visit)
        nodes, places, counts = np.unique(sample.trees, return_inverse=True, return_counts=True)
        fill_features(batch, row, self._source.features(video))
        batch.segments[row, : len(nodes)] = snippets[nodes]
        batch.node_count[row, : len(nodes)] = counts
        batch.first_hop[row], batch.second_hop[row] = tree_hops(places.reshape(sample.trees.shape))
        batch.center_mask[row] = True
        batch.example_key[row] = keyed_uint32(*key)
        batch.targets.center_type[row] = sample.center_type
        batch.targets.label[row] = sample.label
        batch.targets.regression[row] = sample.regression

    def _draw(self, video: int, epoch: int, visit: int) -> tuple[tuple[int, ...], Sample]:
        key = (self._seed, epoch, visit, video_key(self._source.records[video].video_id))
        return key, draw_sample(self._pool(video)[0], KeyedDraws(*key), self._centers)

    def _sampled_nodes(self) -> np.ndarray:
        """Numbers of distinct nodes in some visits of the first epoch: of all videos, or of evenly chosen ones."""
        count = len(self._videos)
        numbers = np.linspace(0, max(count, _SAMPLED_DRAWS) - 1, _SAMPLED_DRAWS, dtype=np.int64)
        visits, places = np.divmod(numbers[numbers < count * self._visits], count)
        samples = [self._draw(self._videos[place], 0, visit)[1] for visit, place in zip(visits, places, strict=True)]
        return np.array([len(np.unique(sample.trees)) for sample in samples])

    def _types(self, video: int) -> np.ndarray:
        """The types that `draw_sample` will give to the slots of a video, which may belong to another process."""
        if video not in self._center_types:
            sizes = [len(pool) for pool in pools(self._source.records[video], self._rules)]
            self._center_types[video] = center_types(sizes, self._centers)
        return self._center_types[video]

    def _pool(self, video: int) -> tuple[TrainingPool, np.ndarray]:
        """The parts of the video that do not depend on the draw. They are made at its first visit."""
        if video not in self._pools:
            record = self._source.records[video]
            pool = training_pool(record, self._rules, self._stats)
            snippets = self._align(pool.ticks, record.num_frames, int(self._source.num_snippets[video]))
            self._pools[video] = pool, snippets
        return self._pools[video]

    def _epoch_order(self, epoch: int) -> np.ndarray:
        with self._lock:
            if epoch not in self._orders:
                while len(self._orders) > 2:  # at the end of an epoch, workers need two of them
                    self._orders.pop(min(self._orders))
                self._orders[epoch] = keyed_permutation(len(self._videos) * self._visits, self._seed, epoch)
            return self._orders[epoch]
