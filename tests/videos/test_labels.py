"""Labels of hand-made videos, and bounds that hold for all."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from input_pipeline.videos.labels import label_proposals

FUZZ = settings(derandomize=True, deadline=None)
SEGMENTS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)).map(sorted), max_size=8)


def test_label_tiou_overlap_and_coverage_by_hand():
    labels, tiou, overlap_self, coverage = label_proposals(
        np.array([[0, 100], [150, 250], [300, 400]]), np.array([[50, 100], [100, 200]]), np.array([3, 7]), 1000
    )
    assert labels.tolist() == [3, 7, 0]
    np.testing.assert_allclose(tiou, [50 / 100, 50 / 150, 0])
    np.testing.assert_allclose(overlap_self, [0.5, 0.5, 0])
    np.testing.assert_allclose(coverage, [0.1, 0.1, 0.1])


def test_of_equally_good_instances_the_first_gives_the_label():
    labels, *_ = label_proposals(np.array([[0, 100]]), np.array([[0, 50], [50, 100]]), np.array([4, 2]), 100)
    assert labels.tolist() == [4]


def test_touching_segments_do_not_overlap():
    labels, tiou, overlap_self, _ = label_proposals(np.array([[0, 50]]), np.array([[50, 100]]), np.array([1]), 100)
    assert (labels[0], tiou[0], overlap_self[0]) == (0, 0, 0)


def test_coverage_counts_what_lies_beyond_the_video():
    *_, coverage = label_proposals(np.array([[50, 150]]), np.zeros((0, 2)), np.zeros(0), 100)
    assert coverage.tolist() == [1.0]


@FUZZ
@given(proposals=SEGMENTS, instances=SEGMENTS)
def test_labels_are_bounded_for_any_segments(proposals, instances):
    proposals, instances = np.array(proposals).reshape(-1, 2), np.array(instances).reshape(-1, 2)
    names = np.arange(1, len(instances) + 1)
    labels, tiou, overlap_self, coverage = label_proposals(proposals, instances, names, 60)
    for values in (tiou, overlap_self, coverage):
        assert values.shape == (len(proposals),)
        assert values.dtype == np.float64
        assert ((values >= 0) & (values <= 1)).all()
    assert labels.dtype == np.int64
    assert ((labels > 0) == (tiou > 0)).all()
    assert (tiou <= overlap_self).all()


@FUZZ
@given(instances=SEGMENTS)
def test_an_instance_as_proposal_matches_itself(instances):
    instances = np.array([s for s in instances if s[0] < s[1]]).reshape(-1, 2)
    _, tiou, overlap_self, _ = label_proposals(instances, instances, np.arange(1, len(instances) + 1), 60)
    assert (tiou == 1).all()
    assert (overlap_self == 1).all()
