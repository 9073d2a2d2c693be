"""Pooling, graph scores and P-GCN's own scores, against what the authors' code computes in eval mode."""

import jax
import numpy as np
import pytest

from contextloc_jax.interchange.torch_checkpoint import to_variables
from contextloc_jax.localization.contextloc import ContextLoc, graph_of
from input_pipeline.datasets.video_source import ground_truth, source_from_arrays, video_facts
from input_pipeline.formats.proposal_list import read_proposal_list
from tests.helpers.golden_data import GOLDEN
from tests.helpers.golden_model import (
    NUM_CLASSES,
    adjacency,
    expected_shapes,
    features,
    golden,
    model_and_variables,
    relative_error,
    scoring_batch,
)
from tests.helpers.published import published_model

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
        pooled = model.apply(variables, model.retrieve(batch), graph_of(batch), method=ContextLoc.segment_features)[0]
        assert relative_error(pooled, pooling[f"comp_fts_{video}"]) < OUTPUT_TOLERANCE, video
        assert relative_error(pooled[:, 1], pooling[f"act_fts_{video}"]) < OUTPUT_TOLERANCE, video


def test_golden_graph_scores_of_given_trees(contextloc):
    model, variables = contextloc
    graph = golden("graph")
    batch = scoring_batch(features(graph["video"]), graph["ticks"], graph["selected_idx"])
    pooled = model.apply(variables, model.retrieve(batch), graph_of(batch), method=ContextLoc.segment_features)
    assert relative_error(pooled[0, :, 1], graph["act_fts"]) < OUTPUT_TOLERANCE
    assert relative_error(pooled[0].reshape(len(graph["ticks"]), -1), graph["comp_fts"]) < OUTPUT_TOLERANCE

    normalized = model.apply(variables, pooled, batch.node_count, False, method=ContextLoc.branch_features)
    for branch, name in zip(normalized, ("act_adj", "comp_adj"), strict=True):
        assert relative_error(adjacency(branch[0], graph["selected_idx"][:8]), graph[name]) < OUTPUT_TOLERANCE

    scores = jax.jit(model.apply)(variables, batch)
    mean, deviation = graph["reg_stats"]
    for suffix in ("", "64"):
        assert relative_error(scores.activity[0], graph[f"act_scores{suffix}"]) < OUTPUT_TOLERANCE
        assert relative_error(scores.completeness[0], graph[f"comp_scores{suffix}"]) < OUTPUT_TOLERANCE
        raw = graph[f"reg_scores_raw{suffix}"].reshape(-1, NUM_CLASSES, 2)
        assert relative_error(scores.regression[0], raw) < OUTPUT_TOLERANCE
    assert relative_error(scores.regression[0] * deviation + mean, graph["reg_scores"]) < OUTPUT_TOLERANCE


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
    model = published_model(NUM_CLASSES, local_context=False, global_context=False, batch_norm=False, gcn_dropout=0.7)
    variables = to_variables(weights, expected_shapes(model, 1024))
    batch = scoring_batch(features(pgcn["video"]), pgcn["ticks"], pgcn["selected_idx"])

    pooled = model.apply(variables, model.retrieve(batch), graph_of(batch), method=ContextLoc.segment_features)[0]
    assert relative_error(pooled[:, 1], pgcn["act_fts"]) < OUTPUT_TOLERANCE
    assert relative_error(pooled.reshape(len(pooled), -1), pgcn["comp_fts"]) < OUTPUT_TOLERANCE
    scores = model.apply(variables, batch)
    assert relative_error(scores.activity[0], pgcn["act_scores"]) < OUTPUT_TOLERANCE
    assert relative_error(scores.completeness[0], pgcn["comp_scores"]) < OUTPUT_TOLERANCE
    raw = pgcn["reg_scores_raw"].reshape(-1, NUM_CLASSES, 2)
    assert relative_error(scores.regression[0], raw) < OUTPUT_TOLERANCE


def test_golden_proposals_and_instances_as_fractions():
    sampling = golden("sampling")
    records = {record.video_id: record for record in read_proposal_list(GOLDEN / "test_proposal_list.txt", fps=30.0)}
    source = source_from_arrays(
        [records[video] for video in sampling["test_video_ids"]], [np.zeros((1, 1), np.float32)] * 3, list("12345")
    )
    facts = video_facts(source)
    for index, video in enumerate(sampling["test_video_ids"]):
        assert np.array_equal(facts(index)[2], sampling[f"test_{video}_rel_props"])
        assert source.records[index].num_frames == sampling[f"test_{video}_num_frames"]
    truth = ground_truth(source)
    fractions = truth.segments / truth.duration_seconds[truth.video][:, None]
    ours = np.column_stack([truth.video, truth.label, fractions])
    assert np.allclose(ours, sampling["gt_all"], rtol=1e-12)


def test_golden_training_batch_agrees_with_the_sampled_videos():
    train, sampling = golden("train"), golden("sampling")
    assert np.allclose(train["reg_stats"], sampling["train_reg_stats"], rtol=1e-12)
    assert np.allclose(golden("graph")["reg_stats"], sampling["train_reg_stats"], rtol=1e-12)
    for video, num_frames in zip(train["video"], train["num_frames"], strict=True):
        assert num_frames == sampling[f"train_{video}_num_frames"]
    for name in ("pooling", "graph"):
        videos, frames = golden(name).get("video_names", golden("graph")["video"]), golden(name)["num_frames"]
        known = dict(zip(np.atleast_1d(videos).tolist(), np.atleast_1d(frames).tolist(), strict=True))
        for video in known.keys() & set(sampling["test_video_ids"].tolist()):
            assert known[video] == sampling[f"test_{video}_num_frames"]
