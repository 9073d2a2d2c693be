"""Batches for scoring: every video once, with all its proposals, in padded NumPy arrays. stream.py makes them ahead.

Neighbors are drawn once for every proposal. The draw depends only on (seed, video id). The graph of a video is kept, so
a later pass over the same videos (another evaluation during training) only copies it.
"""

import numpy as np

from contextloc_jax.core.keyed_draws import KeyedDraws, keyed_uint32, video_key
from contextloc_jax.core.structs import Batch
from contextloc_jax.localization.alignment import Align, test_ticks
from contextloc_jax.localization.neighbors import draw_neighbors, neighbor_candidates
from input_pipeline.batches.padding import empty_batch, fill_features
from input_pipeline.batches.shapes import bucket_plan
from input_pipeline.datasets.video_source import VideoSource


class EvaluationBatches:
    """`batch(i)`, i < len(self) -> (video indices [v] int32, Batch): every video once, all its proposals as centers.

    A batch holds videos of one bucket: T and N are padded to powers of two, at least 64. Every process has its own rows
    of every global batch. Rows without a video (index -1, no center) fill the last batch of a bucket. So all processes
    have the same number of batches, with the same shapes.
    """

    def __init__(
        self,
        source: VideoSource,
        *,
        seed: int,
        align: Align,
        videos_per_batch: int = 1,
        process_index: int = 0,
        process_count: int = 1,
    ):
        self._source, self._seed, self._align = source, seed, align
        self._rows = slice(process_index * videos_per_batch, (process_index + 1) * videos_per_batch)
        self._videos_per_batch = videos_per_batch
        self._plan = bucket_plan(source, videos_per_batch * process_count)
        self._graphs: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def __len__(self) -> int:
        return len(self._plan)

    def batch(self, number: int) -> tuple[np.ndarray, Batch]:
        """The rows of global batch `number` that belong to this process."""
        (num_snippets, num_nodes), videos = self._plan[number]
        videos = videos[self._rows]
        batch = empty_batch(
            self._source, self._videos_per_batch, num_snippets, num_nodes, num_rows=num_nodes, num_centers=num_nodes
        )
        indices = np.full(self._videos_per_batch, -1, np.int32)
        for row, video in enumerate(videos):
            self._fill(batch, row, video)
            indices[row] = video
        return indices, batch

    def _fill(self, batch: Batch, row: int, video: int) -> None:
        snippets, hops = self._graph(video)
        count = len(snippets)
        fill_features(batch, row, self._source.features(video))
        batch.segments[row, :count] = snippets
        batch.node_count[row, :count] = 1
        batch.first_hop[row, :count] = hops
        batch.second_hop[row, :count] = hops
        batch.center_mask[row, :count] = True
        batch.example_key[row] = keyed_uint32(self._seed, video_key(self._source.records[video].video_id))

    def _graph(self, video: int) -> tuple[np.ndarray, np.ndarray]:
        """(snippets [N, 3, 2], hops [N, 5]: a proposal, then its 4 neighbors). It is made at the first pass."""
        if video not in self._graphs:
            record = self._source.records[video]
            ticks = test_ticks(record.proposals, record.num_frames)
            snippets = self._align(ticks, record.num_frames, int(self._source.num_snippets[video]))
            draws = KeyedDraws(self._seed, video_key(record.video_id))
            neighbors = draw_neighbors(neighbor_candidates(record.proposals), draws)
            proposals = np.arange(len(ticks), dtype=np.int32)
            self._graphs[video] = snippets, np.concatenate([proposals[:, None], neighbors], axis=1)
        return self._graphs[video]
