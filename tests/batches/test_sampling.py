"""Training pools and samples of hand-made videos."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contextloc_jax.core.errors import InputError
from contextloc_jax.core.keyed_draws import KeyedDraws
from contextloc_jax.core.structs import BACKGROUND, FOREGROUND, INCOMPLETE
from input_pipeline.batches.sampling import draw_sample, training_pool
from tests.helpers.labeled_record import labeled_record
from tests.helpers.published import CENTERS, RULES

FUZZ = settings(derandomize=True, deadline=None)
STATS = np.array([[0.1, -0.2], [0.5, 0.25]])
RECORD = labeled_record(
    [[100, 190], [105, 200], [100, 120], [180, 205], [500, 600], [400, 450], [700, 705]],
    [[100, 200], [800, 900]],
    [2, 4],
)  # 2 foreground, 2 incomplete, 2 background, 1 nothing (too short)


def test_pool_holds_nodes_by_type():
    pool = training_pool(RECORD, RULES, STATS)
    assert pool.type_sizes == (4, 2, 2)
    assert pool.segments.tolist() == [
        *([100, 190], [105, 200], [100, 200], [800, 900]),
        *([100, 120], [180, 205]),
        *([500, 600], [400, 450]),
    ]
    assert pool.labels.tolist() == [2, 2, 2, 4, 2, 2, 0, 0]
    assert pool.ticks.shape == (8, 4)
    assert pool.candidates.shape == (8, 10)
    np.testing.assert_allclose(pool.regression[2], -STATS[0] / STATS[1])
    np.testing.assert_allclose(pool.regression[0], ((5 / 91, np.log(101 / 91)) - STATS[0]) / STATS[1], rtol=1e-6)
    assert (pool.regression[4:] == 0).all()


def test_classes_of_background_are_dropped():
    record = dataclasses.replace(RECORD, proposal_labels=np.where(RECORD.proposal_labels == 0, 3, 2))
    assert training_pool(record, RULES, STATS).labels[-2:].tolist() == [0, 0]


@FUZZ
@given(key=st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 1000)))
def test_slots_hold_their_types(key):
    pool = training_pool(RECORD, RULES, STATS)
    sample = draw_sample(pool, KeyedDraws(*key), CENTERS)
    assert sample.center_type.tolist() == [FOREGROUND] + 6 * [INCOMPLETE] + [BACKGROUND]
    centers = sample.trees[:, 0]
    assert sample.trees.shape == (8, 21)
    assert ((sample.trees >= 0) & (sample.trees < 8)).all()
    assert ((centers >= 4).astype(int) + (centers >= 6) == sample.center_type).all()
    assert (sample.label == pool.labels[centers]).all()
    assert (sample.regression == pool.regression[centers]).all()
    assert [array.dtype for array in sample] == [np.int32, np.int32, np.int32, np.float32]


def test_every_node_of_a_type_gets_drawn():
    pool = training_pool(RECORD, RULES, STATS)
    centers = {int(c) for seed in range(60) for c in draw_sample(pool, KeyedDraws(seed), CENTERS).trees[:, 0]}
    assert centers == set(range(8))


def test_numbers_of_centers_are_arguments():
    pool = training_pool(RECORD, RULES, STATS)
    sample = draw_sample(pool, KeyedDraws(0), (2, 1, 3))
    assert sample.center_type.tolist() == [0, 0, 1, 2, 2, 2]


def test_foreground_stands_in_for_an_empty_type():
    pool = training_pool(labeled_record([[10, 20]], [[10, 20]], [3]), RULES, STATS)
    sample = draw_sample(pool, KeyedDraws(0), CENTERS)
    assert pool.type_sizes == (2, 0, 0)
    assert sample.center_type.tolist() == [FOREGROUND] * 8
    assert sample.label.tolist() == [3] * 8


def test_a_video_of_one_instance_and_no_proposal_can_be_drawn_from():
    pool = training_pool(labeled_record([], [[0, 5]], [1], num_frames=6), RULES, STATS)
    assert (draw_sample(pool, KeyedDraws(0), CENTERS).trees == 0).all()


@pytest.mark.parametrize("proposals", [[], [[0, 500]]])
def test_a_video_without_an_instance_cannot_train(proposals):
    with pytest.raises(InputError, match="video small: no annotated instance to train on"):
        training_pool(labeled_record(proposals), RULES, STATS)


def test_an_overlapping_proposal_without_class_is_named():
    record = dataclasses.replace(RECORD, proposal_labels=np.zeros(7, np.int64))
    with pytest.raises(InputError, match=r"video small: segment 100-190 .* class 0"):
        training_pool(record, RULES, STATS)
