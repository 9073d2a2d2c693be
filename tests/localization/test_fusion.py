"""The weighted mean of several streams' scores, and which streams cannot be fused."""

import numpy as np
import pytest

from contextloc_jax.core.errors import InputError
from contextloc_jax.localization.decode import detect
from contextloc_jax.localization.fusion import fuse
from tests.helpers.scored_videos import LABELS, detection_settings, scored_video


def test_fusion_is_the_weighted_mean_of_raw_scores():
    a, b = scored_video(seed=1), scored_video(seed=2)
    fused = fuse([[a], [b]], [3, 1])[0]
    np.testing.assert_allclose(fused.activity, 0.75 * a.activity.astype(float) + 0.25 * b.activity)
    np.testing.assert_allclose(fused.completeness, 0.75 * a.completeness.astype(float) + 0.25 * b.completeness)
    assert fused.video_id == "v1" and fused.duration_seconds == 100


def test_fusion_takes_any_number_of_streams_and_any_video_order():
    streams = [[scored_video("a", seed=s), scored_video("b", seed=s + 10)] for s in range(3)]
    fused = fuse([streams[0], streams[1][::-1], streams[2]], [1, 1, 1])
    assert [v.video_id for v in fused] == ["a", "b"]
    np.testing.assert_allclose(fused[1].activity, np.mean([s[1].activity for s in streams], axis=0), rtol=1e-6)


def test_fusing_a_stream_with_itself_changes_no_detection():
    video, settings = scored_video(), detection_settings()
    alone, twice = (detect(scores, LABELS, settings) for scores in ([video], fuse([[video], [video]], [1.2, 1])))
    np.testing.assert_allclose(twice.scores, alone.scores, rtol=1e-6)
    np.testing.assert_array_equal(twice.segments, alone.segments)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ([scored_video("a")], "1 only in rgb ('b')"),
        ([scored_video("a"), scored_video("b"), scored_video("c")], "1 only in flow ('c')"),
        ([scored_video("a"), scored_video("b", proposals=[(0.1, 0.5), (0.6, 0.91)])], "1 with other proposals ('b')"),
        ([scored_video("a"), scored_video("b", proposals=[(0.1, 0.5)])], "1 with other proposals ('b')"),
        ([scored_video("a"), scored_video("b", duration=99.0)], "1 with other durations ('b')"),
    ],
)
def test_streams_must_cover_the_same(other, message):
    with pytest.raises(InputError) as caught:
        fuse([[scored_video("a"), scored_video("b")], other], [1, 1], ["rgb", "flow"])
    assert message in str(caught.value) and "rgb and flow" in str(caught.value)


@pytest.mark.parametrize("weights", [[1], [1, -1], [0, 0], [1, np.nan]])
def test_weights_must_be_usable(weights):
    with pytest.raises(InputError, match="weight"):
        fuse([[scored_video()], [scored_video()]], weights)
