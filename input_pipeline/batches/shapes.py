"""The sizes of padded batches: powers of two, and few of them, because every new shape compiles a new program."""

import math

import numpy as np

from input_pipeline.datasets.video_source import VideoSource

_SMALLEST_BUCKET = 64


def power_of_two(number: int, smallest: int = 1) -> int:
    """The least power of two that is at least `number` and `smallest`."""
    return max(smallest, 1 << (max(int(number), 1) - 1).bit_length())


def usual_length(num_snippets: np.ndarray, batch_size: int) -> int:
    """The least power of two that holds every video of a batch, in at least half of all batches; num_snippets [V]."""
    return power_of_two(np.quantile(num_snippets, 0.5 ** (1 / batch_size), method="inverted_cdf"))


def usual_nodes(sampled: np.ndarray, most: int) -> int:
    """Room M for distinct nodes: a multiple of 32; `most` if that saves too little. sampled: counts in some draws."""
    room = 32 * math.ceil(1.15 * sampled.max() / 32)
    return room if room <= 0.8 * most else most


def bucket_plan(source: VideoSource, global_batch: int) -> list[tuple[tuple[int, int], list[int]]]:
    """[((T, N) of a bucket, videos of one global batch)], smallest bucket first, videos in the source's order."""
    buckets: dict[tuple[int, int], list[int]] = {}
    for index, record in enumerate(source.records):
        shape = (
            power_of_two(source.num_snippets[index], _SMALLEST_BUCKET),
            power_of_two(len(record.proposals), _SMALLEST_BUCKET),
        )
        buckets.setdefault(shape, []).append(index)
    return [
        (shape, videos[first : first + global_batch])
        for shape, videos in sorted(buckets.items())
        for first in range(0, len(videos), global_batch)
    ]
