"""Pooling, graph scores and P-GCN's own scores, against what the authors' code computes in eval mode."""

import jax
import numpy as np
import pytest

from contextloc_jax.model import ContextLoc
from contextloc_jax.proposal_nets import edge_weights
from contextloc_jax.torch_import import to_variables
from input_pipeline.alignment import segment_snippets
from tests.golden_model import (
    NUM_CLASSES,
    expected_shapes,
    features,
    golden,
    model_and_variables,
    relative_error,
    scoring_batch,
)

OUTPUT_TOLERANCE = 2e-5


@pytest.fixture(scope="module")
def contextloc():
    return model_and_variables()


def test_golden_every_pooled_segment(contextloc):
    model, variables = contextloc
    pooling = golden("pooling")
    for video in pooling["video_names"]:
        ticks = pooling[f"ticks_{video}"]
        batch = scoring_batch(features(video), ticks, np.zeros((1, 21), int))
        assert np.array_equal(batch.segments[0], pooling[f"units_{video}"])
        pooled = model.apply(variables, batch, method=ContextLoc.segment_features)[0]
        assert relative_error(pooled, pooling[f"comp_fts_{video}"]) < OUTPUT_TOLERANCE, video
        assert relative_error(pooled[:, 1], pooling[f"act_fts_{video}"]) < OUTPUT_TOLERANCE, video


def test_golden_graph_scores_of_given_trees(contextloc):
    model, variables = contextloc
    graph = golden("graph")
    batch = scoring_batch(features(graph["video"]), graph["ticks"], graph["selected_idx"])
    pooled = model.apply(variables, batch, method=ContextLoc.segment_features)
    assert relative_error(pooled[0, :, 1], graph["act_fts"]) < OUTPUT_TOLERANCE
    assert relative_error(pooled[0].reshape(len(graph["ticks"]), -1), graph["comp_fts"]) < OUTPUT_TOLERANCE

    normalised = model.apply(variables, pooled, batch.node_count, False, method=ContextLoc.branch_features)
    for branch, name in zip(normalised, ("act_adj", "comp_adj"), strict=True):
        assert relative_error(adjacency(branch[0], graph["selected_idx"][:8]), graph[name]) < OUTPUT_TOLERANCE

    scores = jax.jit(model.apply)(variables, batch)
    mean, deviation = graph["reg_stats"]
    for suffix in ("", "64"):
        assert relative_error(scores.activity[0], graph[f"act_scores{suffix}"]) < OUTPUT_TOLERANCE
        assert relative_error(scores.completeness[0], graph[f"comp_scores{suffix}"]) < OUTPUT_TOLERANCE
        raw = graph[f"reg_scores_raw{suffix}"].reshape(-1, NUM_CLASSES, 2)
        assert relative_error(scores.regression[0], raw) < OUTPUT_TOLERANCE
    assert relative_error(scores.regression[0] * deviation + mean, graph["reg_scores"]) < OUTPUT_TOLERANCE


def adjacency(nodes, trees) -> np.ndarray:
    """Rows 0..4 of the authors' 21 x 21 adjacency, from the weights the graph uses: [trees, 5, 21]."""
    rows = np.zeros((len(trees), 5, 21), np.float32)
    for row in range(5):
        places = [row, *range(4 * row + 1, 4 * row + 5)]
        rows[:, row, places] = edge_weights(nodes[trees[:, places]])
    return rows


def test_golden_pgcn_own_scores():
    pgcn = golden("pgcn")
    draws = np.random.RandomState(int(pgcn["seed"]))
    weights = {}
    for name, shape, checksum in zip(
        pgcn["weight_names"], pgcn["weight_shapes"], pgcn["weight_checksums"], strict=True
    ):
        shape = tuple(int(n) for n in str(shape).strip("()[]").split(",") if n.strip())
        scale = 0.1 if name.endswith("bias") else max(shape) ** -0.5
        weights[str(name)] = (draws.standard_normal(shape) * scale).astype(np.float32)
        assert np.isclose(weights[str(name)].sum(dtype=np.float64), checksum, rtol=1e-9)
    model = ContextLoc(NUM_CLASSES, local_context=False, global_context=False, batch_norm=False, gcn_dropout=0.7)
    variables = to_variables(weights, expected_shapes(model, 1024))
    batch = scoring_batch(features(pgcn["video"]), pgcn["ticks"], pgcn["selected_idx"])

    pooled = model.apply(variables, batch, method=ContextLoc.segment_features)[0]
    assert relative_error(pooled[:, 1], pgcn["act_fts"]) < OUTPUT_TOLERANCE
    assert relative_error(pooled.reshape(len(pooled), -1), pgcn["comp_fts"]) < OUTPUT_TOLERANCE
    scores = model.apply(variables, batch)
    assert relative_error(scores.activity[0], pgcn["act_scores"]) < OUTPUT_TOLERANCE
    assert relative_error(scores.completeness[0], pgcn["comp_scores"]) < OUTPUT_TOLERANCE
    raw = pgcn["reg_scores_raw"].reshape(-1, NUM_CLASSES, 2)
    assert relative_error(scores.regression[0], raw) < OUTPUT_TOLERANCE


def test_golden_units_follow_from_training_ticks():
    train = golden("train")
    for video, ticks in zip(train["video"], train["ticks"], strict=True):
        units = segment_snippets(ticks, len(features(video)))
        assert units.shape == (168, 3, 2)
        assert units.min() >= -8 and units[..., 0].max() < len(features(video))
