"""AR@AN against plain loops and by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contextloc_jax.core.errors import InputError
from contextloc_jax.evaluation.recall import AR_THRESHOLDS, average_recall
from tests.helpers.plain_metrics import plain_average_recall
from tests.helpers.random_detections import detections_of, found, ground_truth_of, repeatable, truths


@repeatable
@given(found, truths, st.sampled_from([0.5, 2, 7, 100]))
def test_average_recall_equals_plain_loops(proposals, truth, max_average):
    thresholds = (0.1, 0.5, 0.75)
    try:
        curve = average_recall(proposals, truth, max_average, thresholds)
    except InputError:
        return  # nothing retrieved: tested below
    expected = plain_average_recall(proposals, truth, max_average, thresholds)
    np.testing.assert_allclose(curve.recall, expected, atol=1e-12)
    np.testing.assert_allclose(curve.average_recall, np.mean(expected, axis=0), atol=1e-12)


def test_average_recall_by_hand():
    """Two videos with four proposals each; one instance is met by the best, the other by the last proposal."""
    truth = ground_truth_of([(0, 0, (0, 10)), (1, 0, (0, 10))])
    far = [((v, 0, (20 + i, 21 + i)), 0.5) for v in (0, 1) for i in range(3)]
    proposals = detections_of([((0, 1, (0, 10)), 0.9), ((1, 1, (0, 10)), 0.1), *far])
    curve = average_recall(proposals, truth, max_average=4)
    assert (curve.at(1), curve.at(3), curve.at(4)) == (0.5, 0.5, 1)
    # Below one proposal a video nothing is retrieved; trapezoids of the 100 points, as the official code has them.
    expected = np.trapezoid(np.where(curve.counts < 1, 0, np.where(curve.counts < 4, 0.5, 1)), curve.counts) / 4
    assert curve.area == pytest.approx(expected)
    assert len(curve.counts) == 100 and curve.recall.shape == (len(AR_THRESHOLDS), 100)


def test_proposals_only_in_other_videos():
    with pytest.raises(InputError, match="no proposal in a video with an instance"):
        average_recall(detections_of([((1, 0, (0, 10)), 1)]), ground_truth_of([(0, 0, (0, 10))]))
    with pytest.raises(InputError, match="max_average"):
        average_recall(detections_of([((0, 0, (0, 10)), 1)]), ground_truth_of([(0, 0, (0, 10))]), 0)
