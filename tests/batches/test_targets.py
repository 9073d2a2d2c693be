"""Pools and regression targets of hand-made videos."""

import dataclasses

import numpy as np
import pytest

from contextloc_jax.core.errors import InputError
from input_pipeline.batches.targets import LabelRules, pools, regression_stats, regression_targets
from tests.helpers.labeled_record import labeled_record
from tests.helpers.published import RULES

ACTIVITYNET = LabelRules(0.7, 0.6, 0.0, 0.1, 0.0)


def test_pools_by_hand():
    record = labeled_record(
        [[100, 195], [100, 120], [500, 600], [500, 510], [100, 160], [70, 160]], [[100, 200]], [2]
    )  # tIoU 0.95, 0.2, 0, 0 (too short for background), 0.6, 60/130
    found = pools(record, RULES)
    assert [indices.tolist() for indices in found] == [[0, 6], [1], [2]]
    assert [indices.tolist() for indices in pools(record, ACTIVITYNET)] == [[0, 6], [1, 5], [2, 3]]


def test_thresholds_are_strict():
    at_thresholds = dataclasses.replace(
        labeled_record(np.zeros((4, 2))),
        proposal_tiou=np.array([0.7, 0.3, 0.01, 0.0]),
        proposal_overlap_self=np.array([1.0, 1.0, 0.01, 0.0]),
        proposal_coverage=np.array([1.0, 1.0, 1.0, 0.02]),
    )
    assert [len(indices) for indices in pools(at_thresholds, RULES)] == [0, 0, 0]


def test_an_incomplete_proposal_is_not_background():
    record = labeled_record([[0, 300]], [[298, 1000]], [1])  # tIoU 0.002, 0.7 % of itself inside
    assert [len(indices) for indices in pools(record, ACTIVITYNET)] == [1, 1, 0]
    assert [len(indices) for indices in pools(record, RULES)] == [1, 0, 1]


def test_regression_targets_by_hand():
    record = labeled_record([[100, 199], [110, 189]], [[105, 204], [100, 199]], [1, 2])
    targets = regression_targets(record, np.array([0, 1, 2, 3]))
    towards_the_first_of_two_equal = [(154.5 - 149.5) / 80, np.log(100 / 80)]
    expected = [[0, 0], towards_the_first_of_two_equal, [0, 0], [0, 0]]
    np.testing.assert_allclose(targets, expected, atol=1e-15)


def test_regression_target_is_decoded_to_the_instance():
    record = labeled_record([[100, 180]], [[105, 190]], [1])
    (shift, log_ratio), duration = regression_targets(record, np.array([0]))[0], 81
    assert 140 + shift * duration == pytest.approx((105 + 190) / 2)
    assert duration * np.exp(log_ratio) == pytest.approx(86)


def test_regression_stats_leave_out_ground_truth():
    record = labeled_record([[110, 189], [100, 209], [500, 600]], [[100, 199]], [1])
    rows = np.array([[0, np.log(100 / 80)], [-5 / 110, np.log(100 / 110)]])
    stats = regression_stats([record, labeled_record([])], RULES)
    np.testing.assert_allclose(stats, [rows.mean(0), rows.std(0)])


def test_regression_stats_without_spread_still_standardize():
    assert regression_stats([], RULES).tolist() == [[0, 0], [1, 1]]
    assert regression_stats([labeled_record([[0, 9]])], RULES).tolist() == [[0, 0], [1, 1]]
    exact = labeled_record([[100, 199]], [[100, 199]], [1])
    assert regression_stats([exact], RULES).tolist() == [[0, 0], [1, 1]]


def test_a_video_without_proposals_or_instances():
    empty = pools(labeled_record([]), RULES)
    assert [len(indices) for indices in empty] == [0, 0, 0]
    only_instance = labeled_record([], [[10, 20]], [1])
    assert pools(only_instance, RULES).foreground.tolist() == [0]
    assert regression_targets(only_instance, np.array([0])).tolist() == [[0, 0]]
    assert regression_targets(only_instance, np.zeros(0, int)).shape == (0, 2)


def test_foreground_without_an_instance_is_the_input_s_fault():
    wrong = dataclasses.replace(labeled_record([[0, 9]]), proposal_tiou=np.array([0.9]))
    with pytest.raises(InputError, match="video small: 1 proposals are labeled foreground"):
        regression_stats([wrong], RULES)


@pytest.mark.parametrize(
    ("thresholds", "message"),
    [
        ({"foreground_tiou": 70}, "config.sampling.foreground_tiou is 70; expected a number from 0 to 1"),
        ({"background_coverage": -0.1}, "background_coverage is -0.1"),
        ({"incomplete_overlap_self": float("nan")}, "incomplete_overlap_self is nan"),
        ({"incomplete_tiou": 0.8}, "incomplete_tiou 0.8 is above foreground_tiou 0.7"),
    ],
)
def test_impossible_thresholds_are_named(thresholds, message):
    with pytest.raises(InputError, match=message):
        dataclasses.replace(RULES, **thresholds)
