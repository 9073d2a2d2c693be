"""Oracles fix what they say, and only ever raise mAP."""

import pytest
from hypothesis import given

from contextloc_jax.evaluation.average_precision import evaluate
from contextloc_jax.evaluation.oracles import oracles
from tests.helpers.random_detections import THUMOS14, VIDEOS, detections_of, found, ground_truth_of, repeatable, truths


@repeatable
@given(found, truths)
def test_each_oracle_only_raises_map(detections, truth):
    bounds, metrics = oracles(detections, truth, THUMOS14), evaluate(detections, truth, "thumos14")
    assert bounds["none"]["mAP"] == pytest.approx(metrics["mAP"], abs=1e-12)
    for name in ("best_class", "best_boundary", "best_of_proposals"):
        for threshold, value in bounds[name]["mAP"].items():
            assert metrics["mAP"][threshold] - 1e-12 <= value <= 1 + 1e-12, (name, threshold)


def test_what_each_oracle_fixes():
    truth = ground_truth_of([(0, 0, (0, 10)), (0, 1, (20, 30))])
    wrong_class = oracles(detections_of([((0, 1, (0, 10)), 0.9)]), truth, THUMOS14)
    assert wrong_class["none"]["mAP"]["0.5"] == 0 and wrong_class["best_class"]["mAP"]["0.5"] == 0.5
    assert wrong_class["best_boundary"]["mAP"]["0.5"] == 0
    wrong_boundary = oracles(detections_of([((0, 0, (8, 20)), 0.9)]), truth, THUMOS14)
    assert wrong_boundary["best_class"]["mAP"]["0.5"] == 0 and wrong_boundary["best_boundary"]["mAP"]["0.9"] == 0.5
    assert wrong_boundary["best_of_proposals"]["mAP"]["0.5"] == 0
    buried = detections_of([((0, 0, (20, 30)), 0.9), ((0, 1, (0, 10)), 0.1)])
    assert oracles(buried, truth, THUMOS14)["best_of_proposals"]["average_mAP"] == 1


def test_other_segments_may_be_offered_as_proposals():
    truth = ground_truth_of([(0, 0, (0, 10)), (0, 1, (20, 30))])
    detections = detections_of([((0, 0, (0, 10)), 0.9)])
    proposals = detections_of([((0, 0, (20, 30)), 0.1)], videos=VIDEOS, labels=["proposal"])
    assert oracles(detections, truth, THUMOS14, proposals)["best_of_proposals"]["mAP"]["0.5"] == 0.5
