"""The diagnosis on detections whose faults are known."""

import json

import numpy as np
import pytest
from hypothesis import given

from contextloc_jax.core.errors import InputError
from contextloc_jax.evaluation.average_precision import evaluate
from contextloc_jax.evaluation.diagnosis import diagnose
from contextloc_jax.evaluation.judging import VERDICTS, judge
from tests.helpers.random_detections import (
    ACTIVITYNET,
    THUMOS14,
    detections_of,
    found,
    ground_truth_of,
    repeatable,
    truths,
)

TRUTH = ground_truth_of([(0, 0, (0, 10)), (0, 1, (20, 30)), (1, 0, (0, 2))])
ONE_OF_EACH = detections_of(
    [
        ((0, 0, (0, 10)), 0.9),  # correct
        ((0, 0, (1, 10)), 0.8),  # double detection
        ((0, 0, (20, 29)), 0.7),  # wrong label
        ((0, 0, (6, 16)), 0.6),  # localization: tIoU 4/16
        ((0, 0, (26, 36)), 0.5),  # confusion
        ((0, 0, (50, 60)), 0.4),  # background
    ]
)


def verdicts(detections, truth=TRUTH):
    """Names of the verdicts at tIoU 0.5, in the order of the rows."""
    judged = judge(detections, truth, THUMOS14)
    back = np.argsort(judged.matches.ranking.row)
    return [list(VERDICTS)[code] for code in judged.verdict[0][back]]


def diagnosis_of(detections, truth, protocol=THUMOS14):
    return diagnose(judge(detections, truth, protocol))


def test_one_of_each():
    assert verdicts(ONE_OF_EACH) == list(VERDICTS)
    shares = diagnosis_of(ONE_OF_EACH, TRUTH)["false_positives"]["all"]
    assert shares == pytest.approx(dict.fromkeys(VERDICTS, 1 / 6))


def test_of_equal_tiou_the_own_class_is_preferred():
    doubled = ground_truth_of([(0, 1, (0, 10)), (0, 0, (0, 10)), (0, 2, (0, 10))])
    rows = detections_of([((0, 0, (0, 10)), 0.9), ((0, 0, (0, 10)), 0.8), ((0, 0, (0, 3)), 0.7)])
    assert verdicts(rows, doubled) == ["correct", "double detection", "localization"]


def test_bounds_of_the_types():
    at = ground_truth_of([(0, 1, (0, 10))])
    assert verdicts(detections_of([((0, 0, (0, 5)), 1)]), at) == ["wrong label"]
    assert verdicts(detections_of([((0, 0, (0, 1)), 1)]), at) == ["confusion"]
    assert verdicts(detections_of([((0, 0, (0, 1)), 1)]), ground_truth_of([(0, 1, (0, 11))])) == ["background"]


def test_profile_by_rank_has_groups_as_large_as_the_class():
    """Class run has two instances: ranks 1-2, 3-4 and 5-6."""
    by_rank = diagnosis_of(ONE_OF_EACH, TRUTH)["false_positives"]["by_rank"]
    assert len(by_rank) == 3
    assert by_rank[0] == pytest.approx(dict.fromkeys(VERDICTS, 0) | {"correct": 0.5, "double detection": 0.5})
    assert by_rank[2] == pytest.approx(dict.fromkeys(VERDICTS, 0) | {"confusion": 0.5, "background": 0.5})


def test_map_without_an_error():
    """Double detections in front of the second correct one: without them AP is 1."""
    truth = ground_truth_of([(0, 0, (0, 10)), (1, 0, (0, 10))])
    rows = [((0, 0, (0, 10)), 0.9), ((0, 0, (0, 10)), 0.8), ((1, 0, (0, 10)), 0.7)]
    found = diagnosis_of(detections_of(rows), truth)["without_error"]
    assert found["double detection"] == pytest.approx({"mAP": 1, "gain": 1 - (1 + 2 / 3) / 2})
    assert found["background"]["gain"] == 0


@repeatable
@given(found, truths)
def test_removing_errors_only_raises_map(detections, truth):
    diagnosis = diagnosis_of(detections, truth, ACTIVITYNET)
    base = evaluate(detections, truth, "activitynet")["average_mAP"]
    for entry in diagnosis["without_error"].values():
        assert entry["gain"] >= -1e-12 and entry["mAP"] - entry["gain"] == pytest.approx(base, abs=1e-9)
    assert sum(diagnosis["false_positives"]["all"].values()) == pytest.approx(1)
    assert 0 <= diagnosis["false_negatives"]["missed"] <= 1
    json.dumps(diagnosis, allow_nan=False)


def test_missed_instances_by_length():
    """Short instances are missed, long ones found."""
    truth = ground_truth_of([(0, 0, (0, 2)), (0, 0, (4, 6)), (1, 0, (0, 10)), (1, 0, (12, 22))])
    rows = [((1, 0, (0, 10)), 0.9), ((1, 0, (12, 22)), 0.8), ((0, 0, (0, 2)), 0.7)]
    missed = diagnosis_of(detections_of(rows), truth)["false_negatives"]
    assert missed["missed"] == 0.25
    assert missed["length"] == {"XS": 0.5, "S": None, "M": 0.0, "L": None, "XL": None}


def test_a_find_that_is_buried_in_false_detections_counts_as_missed():
    truth = ground_truth_of([(0, 0, (0, 10))])
    buried = [((1, 0, (i, i + 1)), 0.9) for i in range(30)]
    last = detections_of([*buried, ((0, 0, (0, 10)), 0.1)])
    assert diagnosis_of(last, truth)["false_negatives"]["missed"] == 1
    near = detections_of([*buried[:10], ((0, 0, (0, 10)), 0.1)])
    assert diagnosis_of(near, truth)["false_negatives"]["missed"] == 0


def test_sensitivity_sets_other_bins_aside():
    """Long instances are ranked first: short ones have their own AP, with the detections of long ones removed."""
    truth = ground_truth_of([(0, 0, (0, 2)), (1, 0, (0, 10))])
    rows = detections_of([((1, 0, (0, 10)), 0.9), ((0, 0, (0, 2)), 0.7)])
    found = diagnosis_of(rows, truth)["sensitivity"]
    assert found["mAP_N"] == 1
    assert found["length"]["XS"] == {"mAP_N": 1.0, "instances": 1}
    assert found["length"]["S"] == {"mAP_N": None, "instances": 0}


def test_normalized_precision_by_hand():
    """One of two instances is short: recall 1/1 of that bin counts as N = 2 instances beside one false detection."""
    truth = ground_truth_of([(0, 0, (0, 2)), (1, 0, (0, 10))])
    rows = detections_of([((1, 0, (14, 17)), 0.9), ((0, 0, (0, 2)), 0.7)])
    found = diagnosis_of(rows, truth)["sensitivity"]["length"]
    assert found["XS"]["mAP_N"] == pytest.approx(2 / 3)
    assert found["M"]["mAP_N"] == 0


def test_bad_input():
    with pytest.raises(InputError, match="no detections"):
        diagnosis_of(detections_of([]), TRUTH)
