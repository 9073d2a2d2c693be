"""What retrieval reads of a small video, padded, and what the reference retrieves from it."""

import numpy as np

from contextloc_jax.localization.retrieval import Retrieved
from tests.helpers.random_videos import NODES, SNIPPETS, WIDTH
from tests.helpers.reference_model import local_and_global


def padded_video(video, num_snippets=SNIPPETS, fill=0.0):
    """Arguments of `retrieve`: features [num_snippets, D], snippets, segments [3 NODES, 2]; padding is `fill`."""
    features = np.full((num_snippets, WIDTH), fill, np.float32)
    features[: len(video.features)] = video.features
    segments = np.zeros((3 * NODES, 2), np.int32)
    segments[: video.segments.size // 2] = video.segments.reshape(-1, 2)
    return features, np.int32(len(video.features)), segments


def reference_retrieval(video) -> Retrieved:
    """The reference's retrieval of every segment."""
    features = video.features.astype(np.float64)
    rows = [local_and_global(features, first, last) for first, last in video.segments.reshape(-1, 2)]
    query, local, adapted, _ = map(np.array, zip(*rows, strict=True))
    return Retrieved(query, local, adapted, features.max(axis=0))


def without_padding(found: Retrieved, video) -> Retrieved:
    """What was retrieved for the segments that the video has."""
    count = video.segments.size // 2
    return found._replace(query=found.query[:count], local=found.local[:count], adapted=found.adapted[:count])
