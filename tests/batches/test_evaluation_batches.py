"""Batches for scoring: every video once with all its proposals, whatever the processes."""

import dataclasses

import numpy as np
import pytest

from contextloc_jax.localization.alignment import segment_snippets, test_ticks
from contextloc_jax.localization.neighbors import neighbor_candidates
from input_pipeline.batches.evaluation_batches import EvaluationBatches
from input_pipeline.batches.shapes import power_of_two
from input_pipeline.datasets.video_source import source_from_arrays
from tests.helpers.published import ALIGN, LENGTH, STRIDE
from tests.helpers.training_batches import training_batches
from tests.helpers.video_records import make_features, make_record, make_source


@pytest.fixture(scope="module")
def source():
    return make_source()


def test_evaluation_visits_every_video_once_with_all_its_proposals(source):
    batches = EvaluationBatches(source, seed=0, align=ALIGN)
    seen = []
    for number in range(len(batches)):
        (video,), batch = batches.batch(number)
        seen.append(video)
        record, snippets = source.records[video], source.num_snippets[video]
        count = len(record.proposals)
        assert batch.features.shape[1] == power_of_two(snippets, 64)
        assert batch.segments.shape[1] == batch.first_hop.shape[1] == power_of_two(count, 64)
        assert batch.targets is None
        np.testing.assert_array_equal(batch.features[0, :snippets], source.features(video))
        ticks = test_ticks(record.proposals, record.num_frames)
        np.testing.assert_array_equal(batch.segments[0, :count], segment_snippets(ticks, snippets, STRIDE, LENGTH))
        for mask in (batch.center_mask[0], batch.node_count[0]):
            np.testing.assert_array_equal(mask, np.arange(len(mask)) < count)
        np.testing.assert_array_equal(batch.first_hop, batch.second_hop)
        np.testing.assert_array_equal(batch.first_hop[0, :count, 0], np.arange(count))
        candidates = neighbor_candidates(record.proposals)
        for node in range(count):
            assert not set(batch.first_hop[0, node, 1:]) - set(candidates[node])
        assert (batch.first_hop[0, :count, 1:] != np.arange(count)[:, None]).any()
    assert sorted(seen) == [0, 1, 2]


def test_evaluation_neighbors_depend_on_seed_and_video_alone(source):
    def neighbors(source, video, seed=0, **settings):
        batches = EvaluationBatches(source, seed=seed, align=ALIGN, **settings)
        for number in range(len(batches)):
            indices, batch = batches.batch(number)
            if video in indices:
                return batch.first_hop[list(indices).index(video)]
        return None

    first = neighbors(source, 2)
    np.testing.assert_array_equal(first, neighbors(source.select([2]), 0))
    np.testing.assert_array_equal(first, neighbors(source, 2, videos_per_batch=2))
    assert (first != neighbors(source, 2, seed=1)).any()


def test_evaluation_of_a_video_without_proposals_or_ground_truth():
    records = [make_record("none", num_proposals=0, num_instances=0), make_record("b", num_instances=0)]
    source = source_from_arrays(records, [make_features(1), make_features(100)], ["a"])
    batches = EvaluationBatches(source, seed=0, align=ALIGN)
    by_video = {int(i[0]): b for i, b in (batches.batch(n) for n in range(len(batches)))}
    assert not by_video[0].center_mask.any() and not by_video[0].node_count.any()
    assert by_video[0].features.shape == (1, 64, 4) and by_video[0].num_snippets[0] == 1
    assert by_video[1].center_mask.sum() == 60


@pytest.mark.parametrize(("videos_per_batch", "process_count"), [(1, 1), (1, 2), (2, 2), (1, 3), (4, 1)])
def test_evaluation_shares_every_video_out_to_processes_in_equal_shapes(videos_per_batch, process_count):
    source = make_source((90, 40, 70, 50, 100), (60, 30, 45, 20, 64))
    parts = [
        EvaluationBatches(
            source, seed=0, align=ALIGN, videos_per_batch=videos_per_batch, process_index=p, process_count=process_count
        )
        for p in range(process_count)
    ]
    assert len({len(part) for part in parts}) == 1
    seen = []
    for number in range(len(parts[0])):
        together = [part.batch(number) for part in parts]
        assert len({tuple(a.shape for a in batch[:-1]) for _, batch in together}) == 1
        for indices, batch in together:
            assert len(indices) == videos_per_batch
            seen += [i for i in indices.tolist() if i >= 0]
            for row in np.flatnonzero(indices < 0):
                assert not batch.center_mask[row].any() and not batch.node_count[row].any()
                assert batch.num_snippets[row] == 1
    assert sorted(seen) == [0, 1, 2, 3, 4]


def test_more_processes_make_fewer_batches():
    source = make_source((50,) * 6, (30,) * 6)  # one bucket
    lengths = [len(EvaluationBatches(source, seed=0, align=ALIGN, process_count=count)) for count in (1, 2, 3, 4)]
    assert lengths == [6, 3, 2, 2]
    assert len(EvaluationBatches(source, seed=0, align=ALIGN, videos_per_batch=2, process_count=2)) == 2


def test_align_is_used_for_training_and_evaluation(source):
    calls = []

    def align(ticks, num_frames, num_snippets):
        calls.append((num_frames, num_snippets))
        return np.full((len(ticks), 3, 2), 7, np.int32)

    _, batch = training_batches(source, align=align).batch(0)
    np.testing.assert_array_equal(batch.segments[batch.node_count > 0], 7)
    _, batch = EvaluationBatches(source, seed=0, align=align).batch(0)
    np.testing.assert_array_equal(batch.segments[batch.node_count > 0], 7)
    assert set(calls) <= {(776, 90), (376, 40), (616, 70)}


def test_duplicated_proposals_do_not_break_a_batch(source):
    record = source.records[0]
    repeated = dataclasses.replace(
        record, **{f: np.repeat(getattr(record, f), 2, axis=0) for f in (
            "proposals", "proposal_labels", "proposal_tiou", "proposal_overlap_self", "proposal_coverage")},
    )  # fmt: skip
    doubled = source_from_arrays([repeated], [source.features(0)], ["a", "b", "c"])
    _, batch = training_batches(doubled).batch(0)
    np.testing.assert_array_equal(batch.node_count.sum(axis=1), 168)
    assert EvaluationBatches(doubled, seed=0, align=ALIGN).batch(0)[1].center_mask.sum() == 120
