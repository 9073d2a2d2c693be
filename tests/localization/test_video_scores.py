"""From a row of the model's scores to a video's: padding is cut off, regression returns to its unit."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from contextloc_jax.core.structs import Scores
from contextloc_jax.localization.video_scores import Video, to_video_scores

CENTERS, CLASSES = 5, 3
STATS = [[0.1, -0.2], [2.0, 3.0]]


def row_of_scores(seed: int) -> Scores:
    """Of CENTERS centers, the last of which are padding."""
    rng = np.random.default_rng(seed)
    shapes = (CENTERS, CLASSES + 1), (CENTERS, CLASSES), (CENTERS, CLASSES, 2)
    return Scores(*(rng.standard_normal(shape).astype(np.float32) for shape in shapes))


def video_of(num_proposals: int) -> Video:
    return Video("v", 12.5, np.tile([0.25, 0.5], (num_proposals, 1)))


@given(num_proposals=st.integers(0, CENTERS), seed=st.integers(0, 99))
@settings(derandomize=True, deadline=None)
def test_a_video_has_the_scores_of_its_proposals_and_nothing_of_the_padding(num_proposals, seed):
    row, video = row_of_scores(seed), video_of(num_proposals)
    padded = Scores(*(part.copy() for part in row))
    for part in padded:
        part[num_proposals:] = np.nan
    found = to_video_scores(padded, video, STATS)
    assert (found.video_id, found.duration_seconds) == ("v", 12.5) and found.proposals is video.proposals
    assert np.array_equal(found.activity, row.activity[:num_proposals])
    assert np.array_equal(found.completeness, row.completeness[:num_proposals])
    assert found.regression.shape == (num_proposals, CLASSES, 2) and np.all(np.isfinite(found.regression))


def test_regression_is_in_the_unit_of_its_targets():
    row = row_of_scores(0)._replace(regression=np.tile(np.float32([1.0, -1.0]), (CENTERS, CLASSES, 1)))
    found = to_video_scores(row, video_of(2), STATS)
    assert found.regression.dtype == np.float64
    np.testing.assert_allclose(found.regression, np.tile([0.1 + 2.0, -0.2 - 3.0], (2, CLASSES, 1)), rtol=1e-15)
