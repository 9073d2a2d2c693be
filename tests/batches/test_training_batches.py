"""Training batches against the draws they stand for, and their independence of process and start."""

import numpy as np
import pytest

from contextloc_jax.core.errors import InputError
from contextloc_jax.core.keyed_draws import KeyedDraws, keyed_permutation, keyed_uint32, video_key
from contextloc_jax.core.structs import count_centers
from contextloc_jax.localization.alignment import segment_snippets
from input_pipeline.batches import training_batches as module
from input_pipeline.batches.sampling import draw_sample, training_pool
from input_pipeline.batches.targets import regression_stats
from input_pipeline.datasets.video_source import source_from_arrays
from tests.helpers.published import CENTERS, LENGTH, RULES, STRIDE
from tests.helpers.training_batches import assert_batches_equal, training_batches
from tests.helpers.video_records import make_features, make_record, make_source


@pytest.fixture(scope="module")
def source():
    return make_source()


def rows_of(batch, rows):
    indices, arrays = batch
    targets = type(arrays.targets)(*(a[rows] for a in arrays.targets))
    return indices[rows], arrays._replace(**{f: getattr(arrays, f)[rows] for f in arrays._fields[:-1]}, targets=targets)


def expand_trees(batch, row):
    """The 21 nodes of each tree, read back through second_hop and first_hop."""
    first, second = batch.first_hop[row], batch.second_hop[row]
    rows = first[second]  # [C, 5, 5]
    return np.concatenate([rows[:, 0, :1], rows[:, 0, 1:], rows[:, 1:, 1:].reshape(len(rows), -1)], axis=1), rows


def test_shapes_and_dtypes_of_a_training_batch(source):
    indices, batch = training_batches(source).batch(0)
    assert indices.shape == (4,) and indices.dtype == np.int32
    shapes = {
        "features": (4, 128, 4), "num_snippets": (4,), "segments": (4, 64, 3, 2), "node_count": (4, 64),
        "first_hop": (4, 40, 5), "second_hop": (4, 8, 5), "center_mask": (4, 8), "example_key": (4,),
    }  # fmt: skip
    dtypes = ["float16", "int32", "int32", "float32", "int32", "int32", "bool", "uint32"]
    for (name, shape), dtype in zip(shapes.items(), dtypes, strict=True):
        assert getattr(batch, name).shape == shape and getattr(batch, name).dtype == dtype, name
    assert [(a.shape, a.dtype) for a in batch.targets] == [
        ((4, 8), np.int32), ((4, 8), np.int32), ((4, 8, 2), np.float32), ((4, 2), np.int32),
    ]  # fmt: skip


def test_a_training_row_is_the_keyed_draw_of_its_video(source):
    batches = training_batches(source)
    stats = regression_stats(source.records, RULES)
    for step in range(2 * batches.steps_per_epoch):
        epoch, position = divmod(step, batches.steps_per_epoch)
        order = keyed_permutation(15, 3, epoch)[4 * position : 4 * position + 4]
        indices, batch = batches.batch(step)
        np.testing.assert_array_equal(indices, order % 3)
        for row, (visit, video) in enumerate(zip(order // 3, order % 3, strict=True)):
            record = source.records[video]
            key = (3, epoch, visit, video_key(record.video_id))
            pool = training_pool(record, RULES, stats)
            sample = draw_sample(pool, KeyedDraws(*key), CENTERS)
            snippets = segment_snippets(pool.ticks, source.num_snippets[video], STRIDE, LENGTH)
            trees, rows = expand_trees(batch, row)
            np.testing.assert_array_equal(batch.segments[row][trees], snippets[sample.trees])
            np.testing.assert_array_equal(rows[:, 1:, 0], rows[:, 0, 1:])  # a row starts with the child it belongs to
            np.testing.assert_array_equal(batch.targets.center_type[row], sample.center_type)
            np.testing.assert_array_equal(batch.targets.label[row], sample.label)
            np.testing.assert_array_equal(batch.targets.regression[row], sample.regression)
            np.testing.assert_array_equal(batch.targets.totals[row], count_centers(batch.targets.center_type))
            assert batch.example_key[row] == keyed_uint32(*key)
            nodes, counts = np.unique(sample.trees, return_counts=True)
            np.testing.assert_array_equal(batch.node_count[row, : len(nodes)], counts)
            assert batch.node_count[row].sum() == 168 and not batch.node_count[row, len(nodes) :].any()
            assert batch.center_mask[row].all()


def test_features_are_padded_behind_the_snippets_and_keep_their_dtype(source):
    indices, batch = training_batches(source).batch(1)
    for row, video in enumerate(indices):
        count = batch.num_snippets[row]
        assert count == source.num_snippets[video]
        np.testing.assert_array_equal(batch.features[row, :count], source.features(video))
        assert not batch.features[row, count:].any()


def test_an_epoch_visits_every_video_equally_often_but_for_the_dropped_rest(source):
    batches = training_batches(source, batch_size=5)
    assert batches.steps_per_epoch == 3
    seen = np.concatenate([batches.batch(step)[0] for step in range(3)])
    np.testing.assert_array_equal(np.bincount(seen), [5, 5, 5])
    dropping = training_batches(source, batch_size=4)
    assert dropping.steps_per_epoch == 3
    seen = np.concatenate([dropping.batch(step)[0] for step in range(3)])
    assert len(seen) == 12 and np.bincount(seen).max() <= 5


def test_batches_differ_between_epochs_visits_and_seeds(source):
    batches = training_batches(source, batch_size=5)
    steps = [batches.batch(step) for step in range(12)] + [training_batches(source, batch_size=5, seed=4).batch(0)]
    keys = np.concatenate([batch.example_key for _, batch in steps])
    assert len(set(keys.tolist())) == len(keys)
    assert len({tuple(indices) for indices, _ in steps}) > 10
    trees = {batch.first_hop[row].tobytes() for _, batch in steps for row in range(5)}
    assert len(trees) == len(keys)


def test_any_batch_can_be_asked_for_first(source):
    batches = training_batches(source)
    in_order = [batches.batch(step) for step in range(9)]
    for step in (8, 0, 4, 5, 2):
        assert_batches_equal(training_batches(source).batch(step), in_order[step])
        assert_batches_equal(batches.batch(step), in_order[step])


@pytest.mark.parametrize("process_count", [2, 4])
def test_processes_hold_the_rows_of_the_same_global_batch(source, process_count):
    whole = training_batches(source)
    size = 4 // process_count
    for process in range(process_count):
        part = training_batches(source, process_index=process, process_count=process_count)
        assert part.steps_per_epoch == whole.steps_per_epoch
        for step in (0, 4):
            rows = slice(process * size, (process + 1) * size)
            indices, batch = part.batch(step)
            assert batch.segments.shape[1] == 168 and not batch.node_count[:, 64:].any()
            batch = batch._replace(segments=batch.segments[:, :64], node_count=batch.node_count[:, :64])
            assert_batches_equal((indices, batch), rows_of(whole.batch(step), rows))


def test_other_numbers_of_centers(source):
    _, batch = training_batches(source, centers=(2, 1, 0)).batch(0)
    assert batch.segments.shape == (4, 32, 3, 2)
    assert batch.first_hop.shape == (4, 15, 5) and batch.second_hop.shape == (4, 3, 5)
    np.testing.assert_array_equal(batch.targets.center_type, [[0, 0, 1]] * 4)
    np.testing.assert_array_equal(batch.node_count.sum(axis=1), 63)


def many_alike(count: int = 60):
    """Videos whose few proposals make trees that share most of their nodes, far fewer than 168."""
    return make_source((40,) * count, (12,) * count)


def test_room_for_nodes_is_one_for_the_whole_run_and_only_cuts_padding():
    source = many_alike()
    alone, second_of_two = training_batches(source), training_batches(source, process_index=1, process_count=2)
    for step in range(0, alone.steps_per_epoch, 7):
        small, full = alone.batch(step)[1], second_of_two.batch(step)[1]
        assert small.segments.shape == (4, 32, 3, 2) and full.segments.shape == (2, 168, 3, 2)
        np.testing.assert_array_equal(small.node_count[2:], full.node_count[:, :32])
        np.testing.assert_array_equal(small.segments[2:], full.segments[:, :32])
        np.testing.assert_array_equal(small.first_hop[2:], full.first_hop)
        assert not full.node_count[:, 32:].any()


def test_a_batch_that_needs_more_nodes_than_the_sample_showed_gets_room_for_all(monkeypatch):
    """The sample is of the first visits alone: here it sees none of the one with many proposals."""
    source = make_source((40,) * 20, (12,) * 18 + (300, 12))
    monkeypatch.setattr(module, "_SAMPLED_DRAWS", 19)
    batches = training_batches(source)
    rooms = {bool((indices == 18).any()): batch.segments.shape[1] for indices, batch in map(batches.batch, range(25))}
    assert rooms == {False: 32, True: 168}


def test_one_long_video_makes_only_its_own_batches_long():
    source = make_source((60,) * 39 + (700,), (12,) * 40)
    parts = [training_batches(source, process_index=p, process_count=2) for p in (0, 1)]
    all_short = training_batches(make_source((60,) * 39, (12,) * 39))
    seen = set()
    for step in range(50):
        (left, first), (right, second) = (part.batch(step) for part in parts)
        length = 1024 if 39 in (*left, *right) else 64
        seen.add(length)
        for indices, batch in ((left, first), (right, second)):
            assert batch.features.shape == (2, length, 4)
            for row, video in enumerate(indices):
                count = source.num_snippets[video]
                np.testing.assert_array_equal(batch.features[row, :count], source.features(video))
                assert not batch.features[row, count:].any() and batch.num_snippets[row] == count
        assert all_short.batch(step)[1].features.shape[1] == 64
    assert seen == {64, 1024}


def test_videos_without_ground_truth_are_not_trained_on(source):
    records = [*source.records, make_record("empty", num_frames=20000, num_instances=0)]
    features = [source.features(i) for i in range(3)] + [make_features(2000)]
    extended = source_from_arrays(records, features, ["a", "b", "c"])
    for step in range(4):
        assert_batches_equal(training_batches(extended).batch(step), training_batches(source).batch(step))


def test_a_video_without_proposals_trains_on_its_ground_truth():
    source = make_source((40, 50), (0, 40))
    batches = training_batches(source, batch_size=10)
    indices, batch = batches.batch(0)
    only_gt = batch.targets.center_type[indices == 0]
    assert len(only_gt) == 5 and not only_gt.any()  # every slot falls back to foreground


def test_wrong_batch_sizes_are_one_line(source):
    with pytest.raises(InputError, match="batch_size 16 is more than one epoch: 3 training videos"):
        training_batches(source, batch_size=16)
    with pytest.raises(InputError, match="batch_size 4 is not a multiple of the 3 processes"):
        training_batches(source, process_count=3)


def test_lengths_that_vary_make_one_shape():
    """A batch of short videos alone is padded as the others are."""
    source = make_source((30, 40, 90, 100, 110, 120) * 3, (12,) * 18)
    assert {training_batches(source).batch(step)[1].features.shape for step in range(20)} == {(4, 128, 4)}
