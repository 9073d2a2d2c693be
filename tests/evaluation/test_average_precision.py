"""mAP against plain loops and by hand, its invariances, protocols and the table."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contextloc_jax.core.errors import InputError
from contextloc_jax.evaluation.average_precision import average_precision, class_precision, evaluate
from tests.helpers.plain_metrics import plain_average_precision
from tests.helpers.random_detections import (
    ACTIVITYNET,
    detections_of,
    found,
    ground_truth_of,
    repeatable,
    shuffled,
    truths,
)


@repeatable
@given(found, truths, st.sampled_from([0.1, 0.25, 0.5, 0.75]))
def test_ap_equals_plain_loops(detections, truth, threshold):
    ap = average_precision(detections, truth, [threshold])[:, 0]
    expected = plain_average_precision(detections, truth, threshold)
    assert {truth.labels[c] for c in np.flatnonzero(~np.isnan(ap))} == set(expected)
    for label, value in expected.items():
        assert ap[truth.labels.index(label)] == pytest.approx(value, abs=1e-12)


@repeatable
@given(found, truths, st.randoms(use_true_random=False))
def test_order_of_rows_changes_nothing(detections, truth, random):
    orders = [random.sample(range(len(c.label)), len(c.label)) for c in (detections, truth)]
    again = evaluate(shuffled(detections, orders[0]), shuffled(truth, orders[1]), "thumos14")
    assert again == evaluate(detections, truth, "thumos14")


@repeatable
@given(found, truths, st.sampled_from([lambda s: 3 * s - 7, np.exp, np.cbrt, lambda s: -1 / s]))
def test_monotone_rescaling_of_scores_changes_nothing(detections, truth, rescale):
    again = evaluate(detections._replace(scores=rescale(detections.scores)), truth, "activitynet")
    assert again == evaluate(detections, truth, "activitynet")


@repeatable
@given(found, truths)
def test_names_decide_not_their_numbers(detections, truth):
    renumbered = detections._replace(
        video_ids=detections.video_ids[::-1],
        video=len(detections.video_ids) - 1 - detections.video,
        labels=detections.labels[::-1],
        label=len(detections.labels) - 1 - detections.label,
    )
    assert evaluate(renumbered, truth, "thumos14") == evaluate(detections, truth, "thumos14")


@repeatable
@given(truths)
def test_a_perfect_detector_has_one(truth):
    rows = [((v, c, tuple(s)), 0.5) for v, c, s in zip(truth.video, truth.label, truth.segments, strict=True)]
    metrics = evaluate(detections_of(rows), truth, "thumos14")
    assert metrics["average_mAP"] == 1 and set(metrics["mAP"].values()) == {1}


@repeatable
@given(found, truths)
def test_map_stays_in_bounds(detections, truth):
    values = list(evaluate(detections, truth, "thumos14")["mAP"].values())
    assert all(0 <= value <= 1 for value in values)


def test_interpolated_ap_by_hand():
    """Correct at ranks 1 and 3 of 3, two of four instances found: (1 + 2/3) / 4."""
    truth = ground_truth_of([(0, 0, (10 * i, 10 * i + 4)) for i in range(4)])
    rows = [((0, 0, (0, 4)), 0.9), ((1, 0, (0, 4)), 0.8), ((0, 0, (10, 14)), 0.7)]
    assert average_precision(detections_of(rows), truth, [0.5])[0, 0] == pytest.approx((1 + 2 / 3) / 4)
    later = [((1, 0, (0, 4)), 0.9), ((0, 0, (0, 4)), 0.8), ((0, 0, (10, 14)), 0.7)]
    assert average_precision(detections_of(later), truth, [0.5])[0, 0] == pytest.approx((2 / 3 + 2 / 3) / 4)


def test_the_content_of_metrics_json():
    truth = ground_truth_of([(0, 0, (0, 10)), (0, 1, (0, 10))])
    metrics = evaluate(detections_of([((0, 0, (0, 8)), 0.9)]), truth, "thumos14")
    assert list(metrics["mAP"]) == ["0.1", "0.2", "0.3", "0.4", "0.5", "0.6", "0.7", "0.8", "0.9"]
    assert list(metrics["mAP"].values()) == [0.5] * 8 + [0]
    assert metrics["average_mAP"] == 0.5
    assert metrics["AP"]["run"]["0.8"] == 1 and metrics["AP"]["jump"]["0.1"] == 0  # annotated, never detected
    assert metrics["classes_without_instances"] == ["dive"] and "dive" not in metrics["AP"]
    assert (metrics["videos"], metrics["instances"], metrics["detections"]) == (4, 2, 1)
    json.dumps(metrics, allow_nan=False)


def test_average_of_thumos14_leaves_out_the_low_and_high_thresholds():
    truth = ground_truth_of([(0, 0, (0, 10))])
    assert evaluate(detections_of([((0, 0, (0, 5)), 1)]), truth, "thumos14")["average_mAP"] == pytest.approx(3 / 5)
    activitynet = evaluate(detections_of([((0, 0, (0, 7)), 1)]), truth, "activitynet")
    assert list(activitynet["mAP"])[:2] == ["0.5", "0.55"] and list(activitynet["mAP"])[-1] == "0.95"
    assert activitynet["average_mAP"] == pytest.approx(5 / 10)


def test_a_video_without_detections_counts_as_missed():
    both = ground_truth_of([(0, 0, (0, 10)), (1, 0, (0, 10))])
    assert evaluate(detections_of([((0, 0, (0, 10)), 1)]), both, "thumos14")["mAP"]["0.5"] == 0.5


def test_a_false_detection_in_a_video_without_instances_costs_precision():
    truth = ground_truth_of([(0, 0, (0, 10))])
    rows = [((3, 0, (0, 10)), 0.9), ((0, 0, (0, 10)), 0.8)]
    assert evaluate(detections_of(rows), truth, "thumos14")["mAP"]["0.5"] == 0.5


def test_normalized_ap_equals_ap_at_the_usual_size():
    label, correct = np.array([0, 0, 0, 1]), np.array([False, True, True, True])
    sizes = np.array([2, 2])
    np.testing.assert_allclose(class_precision(label, correct, sizes, 2.0), class_precision(label, correct, sizes))
    more = class_precision(label, correct, sizes, 20.0)
    assert more[0] > class_precision(label, correct, sizes)[0]


def test_a_protocol_or_its_name():
    problem = detections_of([((0, 0, (0, 1)), 1)]), ground_truth_of([(0, 0, (0, 1))])
    assert evaluate(*problem, ACTIVITYNET) == evaluate(*problem, "activitynet") != evaluate(*problem, "thumos14")
    with pytest.raises(InputError, match="protocol 'coco' is unknown; expected one of thumos14, activitynet"):
        evaluate(*problem, "coco")
