"""From videos to padded NumPy batches: what batch number `step` holds is a pure function of `step`.

That is what makes the pipeline seekable and the same for any number of processes and workers: nothing here has a
position, and every random draw is keyed by (seed, epoch, visit, video id). pipeline.py runs these in parallel.
"""

import threading

import numpy as np

from contextloc_jax.core.errors import InputError
from contextloc_jax.core.structs import Batch, Targets, count_centers
from contextloc_jax.localization.alignment import (
    Align,
)
from input_pipeline.batches.keyed_draws import KeyedDraws, keyed_permutation, keyed_uint32, video_hash
from input_pipeline.batches.padding import empty_batch, fill_features
from input_pipeline.batches.sampling import Sample, TrainingPool, center_types, draw_sample, training_pool
from input_pipeline.batches.shapes import power_of_two, usual_length, usual_nodes
from input_pipeline.batches.targets import LabelRules, pools
from input_pipeline.datasets.video_source import VideoSource

TREE_NODES = 21  # a center, its 4 children and theirs
_FIRST_HOP = np.array([[row, *range(4 * row + 1, 4 * row + 5)] for row in range(5)])  # positions in a tree
_SAMPLED_DRAWS = 256


def trainable_videos(source: VideoSource) -> np.ndarray:
    """Indices of the videos with ground truth; the others cannot be trained on (the authors' `exclude_empty`)."""
    return np.array([i for i, record in enumerate(source.records) if len(record.gt_labels)], np.int64)


class TrainingBatches:
    """`batch(step)` -> (video indices [v] int32, Batch of v videos): process p's rows of global batch `step`.

    An epoch is a permutation, keyed by (seed, epoch), of every (video with ground truth, visit); its last partial
    batch is dropped. `centers` are the foreground, incomplete and background centers of a video, C together.

    Every shape is a compilation, so nearly all batches have the same one, and which ones do not depends on neither
    process nor start:

    T is the least power of two that holds the longest video of the global batch, but not below one that half of all
    batches need not exceed (`usual_length`): one long video makes no other batch longer.
    M is 21 C, the most nodes that C trees have. Trees share many, though; where a sample of draws shows that a
    fifth of the room would stay empty, M is smaller from the first step to the last (`usual_nodes`), and 21 C in
    the rare batch that needs more. Several processes would not agree on that, so they always have 21 C.
    """

    def __init__(
        self,
        source: VideoSource,
        *,
        rules: LabelRules,
        regression_stats: np.ndarray,
        batch_size: int,
        seed: int,
        align: Align,
        visits_per_epoch: int = 20,
        centers: tuple[int, int, int] = (1, 6, 1),
        process_index: int = 0,
        process_count: int = 1,
    ):
        if batch_size % process_count:
            raise InputError(f"batch_size {batch_size} is not a multiple of the {process_count} processes")
        self._videos = trainable_videos(source)
        self.steps_per_epoch = len(self._videos) * visits_per_epoch // batch_size
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
        epoch, position = divmod(step, self.steps_per_epoch)
        order = self._epoch_order(epoch)[position * self._batch_size :][: self._batch_size]
        visits, places = np.divmod(order, len(self._videos))
        all_videos = self._videos[places]
        totals = count_centers(np.stack([self._types(video) for video in all_videos]))
        num_snippets = power_of_two(self._source.num_snippets[all_videos].max(), self._usual_length)
        visits, videos = visits[self._rows], all_videos[self._rows]
        count, centers = len(videos), sum(self._centers)
        batch = empty_batch(self._source, count, num_snippets, TREE_NODES * centers, 5 * centers, centers)
        targets = Targets(
            center_type=np.zeros((count, centers), np.int32),
            label=np.zeros((count, centers), np.int32),
            regression=np.zeros((count, centers, 2), np.float32),
            totals=np.tile(totals, (count, 1)),
        )
        batch = batch._replace(targets=targets)
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
        batch.first_hop[row] = places.reshape(-1, TREE_NODES)[:, _FIRST_HOP].reshape(-1, 5)
        batch.second_hop[row] = np.arange(batch.first_hop.shape[1]).reshape(-1, 5)
        batch.center_mask[row] = True
        batch.example_key[row] = keyed_uint32(*key)
        batch.targets.center_type[row] = sample.center_type
        batch.targets.label[row] = sample.label
        batch.targets.regression[row] = sample.regression

    def _draw(self, video: int, epoch: int, visit: int) -> tuple[tuple[int, ...], Sample]:
        key = (self._seed, epoch, visit, video_hash(self._source.records[video].video_id))
        return key, draw_sample(self._pool(video)[0], KeyedDraws(*key), *self._centers)

    def _sampled_nodes(self) -> np.ndarray:
        """Distinct nodes of some visits of the first epoch, of all videos or of evenly chosen ones."""
        count = len(self._videos)
        numbers = np.linspace(0, max(count, _SAMPLED_DRAWS) - 1, _SAMPLED_DRAWS, dtype=np.int64)
        visits, places = np.divmod(numbers[numbers < count * self._visits], count)
        samples = [self._draw(self._videos[place], 0, visit)[1] for visit, place in zip(visits, places, strict=True)]
        return np.array([len(np.unique(sample.trees)) for sample in samples])

    def _types(self, video: int) -> np.ndarray:
        """What `draw_sample` will find of the video in its slots; also asked of videos of other processes."""
        if video not in self._center_types:
            sizes = [len(pool) for pool in pools(self._source.records[video], self._rules)]
            self._center_types[video] = center_types(sizes, *self._centers)
        return self._center_types[video]

    def _pool(self, video: int) -> tuple[TrainingPool, np.ndarray]:
        """Everything of the video that does not depend on the draw, made at its first visit."""
        if video not in self._pools:
            record = self._source.records[video]
            pool = training_pool(record, self._rules, self._stats)
            snippets = self._align(pool.ticks, record, int(self._source.num_snippets[video]))
            self._pools[video] = pool, snippets
        return self._pools[video]

    def _epoch_order(self, epoch: int) -> np.ndarray:
        with self._lock:
            if epoch not in self._orders:
                while len(self._orders) > 2:  # workers may stand on both sides of an epoch's end
                    self._orders.pop(min(self._orders))
                self._orders[epoch] = keyed_permutation(len(self._videos) * self._visits, self._seed, epoch)
            return self._orders[epoch]
