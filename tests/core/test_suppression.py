"""NMS and Soft-NMS of many groups at once against plain loops over one group."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contextloc_jax.core.suppression import nms, soft_nms
from tests.helpers.plain_metrics import plain_nms, plain_soft_nms, plain_tiou
from tests.helpers.random_detections import detection_rows, detections_of, repeatable

thresholds = st.sampled_from([0.0, 0.25, 1 / 3, 0.5, 1.0])


def grouped(rows):
    found = detections_of(rows)
    return found, found.video * len(found.labels) + found.label


def rows_of(found, members):
    return [(*found.segments[i].tolist(), float(found.scores[i])) for i in members]


@repeatable
@given(detection_rows, thresholds)
def test_every_group_equals_plain_nms(rows, threshold):
    found, groups = grouped(rows)
    kept = nms(found.segments, found.scores, groups, threshold)
    expected = []
    for group in np.unique(groups):
        members = np.flatnonzero(groups == group)
        expected += members[plain_nms(rows_of(found, members), threshold)].tolist()
    assert kept.tolist() == expected


@repeatable
@given(detection_rows, thresholds)
def test_nms_never_keeps_two_above_the_threshold(rows, threshold):
    found, groups = grouped(rows)
    kept = nms(found.segments, found.scores, groups, threshold)
    for i in kept:
        for j in kept[kept > i]:
            if groups[i] == groups[j]:
                assert plain_tiou(found.segments[i], found.segments[j]) <= threshold


@repeatable
@given(detection_rows, thresholds, st.sampled_from(["linear", "gaussian"]))
def test_every_group_equals_plain_soft_nms(rows, threshold, method):
    found, groups = grouped(rows)
    kept, scores = soft_nms(found.segments, found.scores, groups, method, threshold, 0.4)
    expected = []
    for group in np.unique(groups):
        members = np.flatnonzero(groups == group)
        plain = plain_soft_nms(rows_of(found, members), method, threshold, 0.4)
        expected += [(members[i], score) for i, score in plain]
    np.testing.assert_allclose(scores, [score for _, score in expected], rtol=1e-12)
    assert kept.tolist() == [i for i, _ in expected]


def test_soft_nms_ignores_the_scale_of_scores():
    segments = np.array([[0, 10], [1, 11], [0, 9], [20, 30]], float)
    scores, groups = np.array([0.9, 0.8, 0.7, 0.6]), np.zeros(4, int)
    kept, lowered = soft_nms(segments, scores, groups, "gaussian", 0.35, 0.5)
    small, small_lowered = soft_nms(segments, scores * 1e-9, groups, "gaussian", 0.35, 0.5)
    assert kept.tolist() == small.tolist() == [0, 3, 1, 2]
    np.testing.assert_allclose(small_lowered, lowered * 1e-9)


def test_linear_soft_nms_drops_a_duplicate():
    segments = np.array([[0, 10], [0, 10], [5, 15]], float)
    kept, scores = soft_nms(segments, np.array([0.9, 0.8, 0.6]), np.zeros(3, int), "linear", 0.3, 0.5)
    assert kept.tolist() == [0, 2]
    np.testing.assert_allclose(scores, [0.9, 0.6 * (1 - 1 / 3)])


@pytest.mark.parametrize("suppress", [lambda *a: nms(*a, 0.5), lambda *a: soft_nms(*a, "linear", 0.35, 0.5)[0]])
def test_nothing_in_nothing_out(suppress):
    assert suppress(np.zeros((0, 2)), np.zeros(0), np.zeros(0, int)).tolist() == []
