"""Small models of every ablation with random variables, compiled once, and videos for them."""

import functools

import jax
import numpy as np

from contextloc_jax.core.structs import Scores
from tests.helpers.compiling import quickly_compiled
from tests.helpers.published import published_model
from tests.helpers.random_videos import CENTERS, CLASSES, NODES, SNIPPETS, WIDTH, padded_batch, random_variables
from tests.helpers.reference_model import Video

CONTEXT, GRAPH = 4, 5
PGCN_BASELINE = {"local_context": False, "global_context": False, "batch_norm": False, "gcn_dropout": 0.7}
ABLATIONS = {
    "contextloc": {},
    "no L-Net": {"local_context": False},
    "no G-Net": {"global_context": False},
    "no adaptation": {"adaptation": False},
    "no boundary segments": {"boundary_segments": False},
    "no BatchNorm": {"batch_norm": False},
    "non-local": {"proposal_net": "nonlocal"},
    "no P-Net": {"proposal_net": "none"},
    "P-GCN": PGCN_BASELINE,
}


@functools.cache
def model_of(name, dtype="float64", **changes):
    widths = {"context_width": CONTEXT, "graph_width": GRAPH}
    return published_model(CLASSES, dtype=dtype, **widths | ABLATIONS[name] | changes)


@functools.cache
def variables_of(name, dtype="float64"):
    video = Video(np.ones((2, WIDTH)), np.zeros((1, 3, 2), int), np.ones(1), np.zeros((CENTERS, 21), int))
    with jax.enable_x64(dtype == "float64"):
        return random_variables(model_of(name, dtype), padded_batch([video], dtype=dtype))


@functools.cache
def compiled_model(name, dtype, train):
    """model.apply of variables and a batch; float32 as users compile it."""
    model = model_of(name, dtype)
    compiler = jax.jit if dtype == "float32" else quickly_compiled
    return compiler(lambda variables, batch: model.apply(variables, batch, train, mutable="batch_stats"))


def score(name, batch, train=False, dtype="float64"):
    """Scores of a padded batch, without dropout, and the BatchNorm statistics afterwards."""
    with jax.enable_x64(dtype == "float64"):
        scores, updated = compiled_model(name, dtype, train)(variables_of(name, dtype), batch)
        return jax.tree.map(np.asarray, (scores, updated.get("batch_stats", {})))


def padded64(videos, **sizes):
    return padded_batch(videos, dtype=np.float64, **sizes)


def in_float64(video):
    return video._replace(features=video.features.astype(np.float64))


def rows_of(scores):
    """The reference's list of videos' scores, stacked as the model returns them."""
    return Scores(*map(np.stack, zip(*scores, strict=True)))


def full_video(rng):
    """Features without ties, NODES nodes of mixed segments, and counts that are not all one."""
    first = rng.integers(0, SNIPPETS, (NODES, 3))
    last = np.minimum(SNIPPETS - 2, first + rng.integers(0, 5, (NODES, 3)))
    return Video(
        features=np.abs(rng.standard_normal((SNIPPETS, WIDTH))),
        segments=np.stack([first, last], axis=-1).astype(np.int32),
        counts=rng.integers(1, 4, NODES).astype(np.float64),
        trees=rng.integers(0, NODES, (CENTERS, 21)),
    )
