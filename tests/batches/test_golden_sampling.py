"""From a proposal list to drawn trees, against the arrays and the random draws of the authors' dataset code."""

import dataclasses

import numpy as np
import pytest

from contextloc_jax.core.segments import pairwise, tiou_of
from contextloc_jax.localization.alignment import test_ticks, training_ticks
from contextloc_jax.localization.neighbors import distance_of, draw_tree, neighbor_candidates
from input_pipeline.batches.sampling import TrainingPool, draw_sample, training_pool
from input_pipeline.batches.targets import pools, regression_stats, regression_targets
from input_pipeline.formats.proposal_list import read_proposal_list
from input_pipeline.videos.labels import label_proposals
from tests.helpers.golden_data import GOLDEN
from tests.helpers.published import CENTERS, FPS, RULES

SAMPLING = np.load(GOLDEN / "sampling.npz")
TRAIN_VIDEOS = SAMPLING["train_video_ids"].tolist()
TEST_VIDEOS = SAMPLING["test_video_ids"].tolist()
LIST_DECIMALS = 6e-5  # the lists hold 4 decimals


def measured(prefix: str, name: str) -> np.ndarray:
    return SAMPLING[f"{prefix}_{name}"]


def all_tiou(segments: np.ndarray) -> np.ndarray:
    return pairwise(tiou_of, segments, segments, inclusive=True)


def all_distances(segments: np.ndarray) -> np.ndarray:
    return pairwise(distance_of, segments, segments)


@pytest.fixture(scope="module")
def train_records():
    return {record.video_id: record for record in read_proposal_list(GOLDEN / "train_proposal_list.txt", FPS)}


@pytest.fixture(scope="module")
def test_records():
    return {record.video_id: record for record in read_proposal_list(GOLDEN / "test_proposal_list.txt", FPS)}


def pool_of(record) -> TrainingPool:
    """What training builds, except that rows with exact ties get the authors' order, so that draws replay."""
    pool = training_pool(record, RULES, SAMPLING["train_reg_stats"])
    prefix = f"train_{record.video_id}"
    tied = measured(prefix, "candidates_tied")[:, None]
    return dataclasses.replace(pool, candidates=np.where(tied, measured(prefix, "candidates"), pool.candidates))


def test_golden_train_list_is_read_as_measured(train_records):
    with_instances = [video for video, record in train_records.items() if len(record.gt_labels)]
    assert with_instances == TRAIN_VIDEOS
    for video in TRAIN_VIDEOS:
        record, prefix = train_records[video], f"train_{video}"
        assert record.num_frames == measured(prefix, "num_frames")
        gt = np.column_stack([record.gt_labels, record.gt_segments])
        np.testing.assert_array_equal(gt, measured(prefix, "gt"))
        np.testing.assert_array_equal(record.proposals, measured(prefix, "proposals"))
        np.testing.assert_array_equal(record.proposal_labels, measured(prefix, "labels"))
        np.testing.assert_array_equal(record.proposal_tiou, measured(prefix, "best_iou"))
        np.testing.assert_array_equal(record.proposal_overlap_self, measured(prefix, "overlap_self"))
        np.testing.assert_array_equal(record.proposal_coverage, measured(prefix, "coverage"))


@pytest.mark.parametrize("video", sorted(set(TRAIN_VIDEOS) - {"gP"}))  # gP's columns are made up, to try the parser
def test_golden_columns_of_the_list_follow_from_its_segments(train_records, video):
    record = train_records[video]
    labels, tiou, overlap_self, coverage = label_proposals(
        record.proposals, record.gt_segments, record.gt_labels, record.num_frames
    )
    np.testing.assert_array_equal(labels, record.proposal_labels)
    np.testing.assert_allclose(tiou, record.proposal_tiou, atol=LIST_DECIMALS)
    np.testing.assert_allclose(overlap_self, record.proposal_overlap_self, atol=LIST_DECIMALS)
    np.testing.assert_allclose(coverage, record.proposal_coverage)


def test_golden_regression_stats(train_records):
    stats = regression_stats(train_records.values(), RULES)
    np.testing.assert_allclose(stats, SAMPLING["train_reg_stats"], rtol=1e-12)


@pytest.mark.parametrize("video", TRAIN_VIDEOS)
def test_golden_pools_and_targets(train_records, video):
    record, prefix = train_records[video], f"train_{video}"
    found = pools(record, RULES)
    np.testing.assert_array_equal(found.foreground, measured(prefix, "fg_idx"))
    np.testing.assert_array_equal(found.incomplete, measured(prefix, "incomplete_idx"))
    np.testing.assert_array_equal(found.background, measured(prefix, "bg_idx"))
    targets = regression_targets(record, found.foreground)
    np.testing.assert_allclose(targets, measured(prefix, "fg_reg_targets"), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("video", TRAIN_VIDEOS)
def test_golden_nodes_and_candidates_of_training(train_records, video):
    record, prefix = train_records[video], f"train_{video}"
    pool = training_pool(record, RULES, SAMPLING["train_reg_stats"])
    np.testing.assert_array_equal(pool.segments, measured(prefix, "pool"))
    np.testing.assert_array_equal(pool.ticks, measured(prefix, "pool_ticks"))
    np.testing.assert_array_equal(training_ticks(pool.segments, record.num_frames), measured(prefix, "pool_ticks"))
    np.testing.assert_allclose(all_tiou(pool.segments), measured(prefix, "pool_iou"), rtol=1e-12)
    np.testing.assert_allclose(all_distances(pool.segments), measured(prefix, "pool_distance"), rtol=1e-12)
    untied = ~measured(prefix, "candidates_tied")
    assert untied.any()
    np.testing.assert_array_equal(pool.candidates[untied], measured(prefix, "candidates")[untied])


@pytest.mark.parametrize("video", TRAIN_VIDEOS)
def test_golden_training_draw_replays(train_records, video):
    pool, prefix = pool_of(train_records[video]), f"train_{video}"
    sample = draw_sample(pool, np.random.RandomState(777), CENTERS)
    np.testing.assert_array_equal(pool.ticks[sample.trees.ravel()], measured(prefix, "sample_ticks"))
    np.testing.assert_array_equal(np.repeat(sample.center_type, 21), measured(prefix, "sample_type"))
    np.testing.assert_array_equal(sample.label, measured(prefix, "sample_target")[::21])
    np.testing.assert_array_equal(sample.regression, measured(prefix, "sample_reg_target")[::21])


def test_golden_batch_of_two_videos_replays(train_records):
    batch, draws = np.load(GOLDEN / "train.npz"), np.random.RandomState(777)
    for row, video in enumerate(batch["video"].tolist()):
        pool = pool_of(train_records[video])
        sample = draw_sample(pool, draws, CENTERS)
        np.testing.assert_array_equal(pool.ticks[sample.trees.ravel()], batch["ticks"][row])
        np.testing.assert_array_equal(sample.center_type, batch["prop_type"][row, ::21])
        np.testing.assert_array_equal(sample.label, batch["target"][row, ::21])
        np.testing.assert_array_equal(sample.regression, batch["reg_target"][row, ::21])


@pytest.mark.parametrize("video", TEST_VIDEOS)
def test_golden_proposals_and_ticks_of_test_videos(test_records, video):
    record, prefix = test_records[video], f"test_{video}"
    assert record.num_frames == measured(prefix, "num_frames")
    np.testing.assert_array_equal(record.proposals, measured(prefix, "proposals"))
    np.testing.assert_array_equal(test_ticks(record.proposals, record.num_frames), measured(prefix, "ticks"))


@pytest.mark.parametrize("video", ["gA", "gB"])
def test_golden_candidates_of_test_videos(test_records, video):
    proposals, prefix = test_records[video].proposals, f"test_{video}"
    np.testing.assert_allclose(all_tiou(proposals), measured(prefix, "iou"), rtol=1e-12)
    np.testing.assert_allclose(all_distances(proposals), measured(prefix, "distance"), rtol=1e-12)
    untied = ~measured(prefix, "candidates_tied")
    found = neighbor_candidates(proposals)[untied]
    np.testing.assert_array_equal(found, measured(prefix, "candidates")[untied])


@pytest.mark.parametrize("archive", ["graph", "pgcn"])
def test_golden_trees_of_all_proposals_replay(archive):
    selected, draws = np.load(GOLDEN / f"{archive}.npz")["selected_idx"], np.random.RandomState(777)
    candidates = measured("test_gA", "candidates")
    trees = [draw_tree(center, candidates, draws) for center in range(len(candidates))]
    np.testing.assert_array_equal(trees, selected)
