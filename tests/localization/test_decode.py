"""From scores to detections: order of the steps, cuts and ties, fusion, class scores, and what is refused."""

import dataclasses
import json

import numpy as np
import pytest

from contextloc_jax.core.errors import InputError
from contextloc_jax.core.structs import VideoScores, check_scores
from contextloc_jax.localization import decode
from contextloc_jax.localization.decode import DetectionSettings, proposals_of, score_classes
from contextloc_jax.localization.fusion import fuse
from tests.helpers.random_detections import THUMOS14, ground_truth_of

LABELS = ["run", "jump"]
SETTINGS = DetectionSettings(THUMOS14, top_k=2000, nms_tiou=0.35, nms="hard", class_scores="", class_top_k=0)


def detect(scores, labels, ground_truth=None, **changes):
    """Detections with SETTINGS, some of them changed."""
    return decode.detect(scores, labels, dataclasses.replace(SETTINGS, **changes), ground_truth)


def video(video_id="v1", proposals=((0.1, 0.5), (0.6, 0.9)), seed=0, duration=100.0, **fields) -> VideoScores:
    random = np.random.RandomState(seed)
    n = len(proposals)
    made = VideoScores(
        video_id,
        duration,
        np.array(proposals, np.float64).reshape(-1, 2),
        random.normal(size=(n, 3)).astype(np.float32),
        random.normal(size=(n, 2)).astype(np.float32),
        np.zeros((n, 2, 2), np.float32),
    )
    return made._replace(**{name: np.array(value, np.float32) for name, value in fields.items()})


def test_score_is_softmax_times_exponential_completeness():
    scores = score_classes(np.array([[0.0, 0.0, np.log(2)]]), np.array([[0.0, np.log(3)]]))
    np.testing.assert_allclose(scores, [[0.25, 1.5]])


def test_detections_are_seconds_regressed_after_nms():
    """The second proposal falls to NMS although regression would move the two apart."""
    shifts = np.zeros((2, 2, 2))
    shifts[0, :, 0] = 1.0
    found = detect(
        [video(proposals=[(0.1, 0.3), (0.1, 0.31)], activity=[[0, 5, -9], [0, 4, -9]], regression=shifts)],
        LABELS,
        nms_tiou=0.5,
    )
    run = found.label == 0
    np.testing.assert_allclose(found.segments[run], [[30, 50]])
    assert found.video_ids == ["v1"] and found.labels == LABELS


def test_regression_is_clipped_to_the_video_and_without_shifts_changes_nothing():
    shifts = np.zeros((2, 2, 2))
    shifts[:, :, 1] = 3.0
    assert detect([video(regression=shifts)], LABELS).segments.tolist() == [[0, 100]] * 4
    plain = detect([video()], LABELS).segments
    np.testing.assert_allclose(np.unique(plain), [10, 50, 60, 90])


def test_top_k_is_taken_over_proposals_and_classes_before_nms():
    scores = video(proposals=[(0, 1)] * 3, activity=np.zeros((3, 3)), completeness=[[3, 0], [2, 1], [1.5, 0]])
    found = detect([scores], LABELS, top_k=3)  # the cut keeps three of class run, of which NMS leaves one
    assert found.label.tolist() == [0]
    assert detect([scores], LABELS, top_k=4).label.tolist() == [0, 1]


def test_equal_scores_at_the_cut_keep_the_earlier_proposal_then_class():
    scores = video(
        proposals=[(0, 0.1), (0.2, 0.3), (0.4, 0.5)], activity=np.zeros((3, 3)), completeness=np.zeros((3, 2))
    )
    found = detect([scores], LABELS, top_k=3, nms="none")
    assert sorted(zip(found.segments[:, 0].round().tolist(), found.label.tolist(), strict=True)) == [
        (0, 0),
        (0, 1),
        (20, 0),
    ]


def test_rows_come_by_video_class_and_decreasing_score():
    found = detect([video("b", seed=1), video("a", seed=2)], LABELS)
    keys = list(zip(found.video, found.label, -found.scores, strict=True))
    assert keys == sorted(keys) and found.video_ids == ["b", "a"]


@pytest.mark.parametrize("method", ["linear", "gaussian"])
def test_soft_nms_lowers_scores_and_keeps_more(method):
    scores = [video(proposals=[(0.1, 0.5), (0.12, 0.5), (0.7, 0.8)])]
    hard, soft, none = (detect(scores, LABELS, nms=name) for name in ("hard", method, "none"))
    assert len(hard.scores) < len(soft.scores) == len(none.scores)
    assert soft.scores.sum() < none.scores.sum()


@pytest.fixture
def class_scores(tmp_path):
    """A function that writes class scores of video v1 and returns their path."""

    def write(*values):
        path = tmp_path / "classes.json"
        path.write_text(json.dumps({"v1": dict(zip(LABELS, values, strict=True))}))
        return str(path)

    return write


def test_class_scores_multiply_and_drop(class_scores):
    plain = detect([video()], LABELS)
    weighted = detect([video()], LABELS, class_scores=class_scores(0.5, 0.0))
    np.testing.assert_allclose(weighted.scores, plain.scores[plain.label == 0] * 0.5)
    best = detect([video()], LABELS, class_scores=class_scores(0.2, 0.7), class_top_k=1)
    np.testing.assert_allclose(best.scores, plain.scores[plain.label == 1] * 0.7)


def test_a_dropped_class_takes_no_place_of_the_top_k(class_scores):
    scores = video(proposals=[(0, 0.1), (0.4, 0.5)], completeness=[[9, 0], [9, 0]])
    assert detect([scores], LABELS, top_k=2, class_scores=class_scores(0, 1)).label.tolist() == [1, 1]


def test_the_oracle_keeps_the_annotated_classes_of_annotated_videos():
    truth = ground_truth_of([(2, 1, (0, 1))])._replace(labels=LABELS)  # v1 shows the second class
    assert set(detect([video()], LABELS, truth, class_scores="oracle").label) == {1}
    with pytest.raises(InputError, match="is 'oracle', but 1 videos are not annotated: 'other'"):
        detect([video("other")], LABELS, truth, class_scores="oracle")
    with pytest.raises(InputError, match="these videos have no annotations"):
        detect([video()], LABELS, class_scores="oracle")


def test_a_video_without_proposals_has_no_detections():
    found = detect([video("a", proposals=[]), video("b")], LABELS)
    assert found.video_ids == ["a", "b"] and set(found.video) == {1}


def test_fusion_is_the_weighted_mean_of_raw_scores():
    a, b = video(seed=1), video(seed=2)
    fused = fuse([[a], [b]], [3, 1])[0]
    np.testing.assert_allclose(fused.activity, 0.75 * a.activity.astype(float) + 0.25 * b.activity)
    np.testing.assert_allclose(fused.completeness, 0.75 * a.completeness.astype(float) + 0.25 * b.completeness)
    assert fused.video_id == "v1" and fused.duration_seconds == 100


def test_fusion_takes_any_number_of_streams_and_any_video_order():
    streams = [[video("a", seed=s), video("b", seed=s + 10)] for s in range(3)]
    fused = fuse([streams[0], streams[1][::-1], streams[2]], [1, 1, 1])
    assert [v.video_id for v in fused] == ["a", "b"]
    np.testing.assert_allclose(fused[1].activity, np.mean([s[1].activity for s in streams], axis=0), rtol=1e-6)


def test_fusing_a_stream_with_itself_changes_no_detection():
    alone, twice = detect([video()], LABELS), detect(fuse([[video()], [video()]], [1.2, 1]), LABELS)
    np.testing.assert_allclose(twice.scores, alone.scores, rtol=1e-6)
    np.testing.assert_array_equal(twice.segments, alone.segments)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ([video("a")], "1 only in rgb ('b')"),
        ([video("a"), video("b"), video("c")], "1 only in flow ('c')"),
        ([video("a"), video("b", proposals=[(0.1, 0.5), (0.6, 0.91)])], "1 with other proposals ('b')"),
        ([video("a"), video("b", proposals=[(0.1, 0.5)])], "1 with other proposals ('b')"),
        ([video("a"), video("b", duration=99.0)], "1 with other durations ('b')"),
    ],
)
def test_streams_must_cover_the_same(other, message):
    with pytest.raises(InputError) as caught:
        fuse([[video("a"), video("b")], other], [1, 1], ["rgb", "flow"])
    assert message in str(caught.value) and "rgb and flow" in str(caught.value)


@pytest.mark.parametrize("weights", [[1], [1, -1], [0, 0], [1, np.nan]])
def test_weights_must_be_usable(weights):
    with pytest.raises(InputError, match="weight"):
        fuse([[video()], [video()]], weights)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"activity": [[0, np.nan, 0], [0, 0, 0]]}, "activity of proposal 0 is not finite"),
        ({"completeness": [[0, 0], [np.inf, 0]]}, "completeness of proposal 1 is not finite"),
        ({"completeness": [[0, 0], [1000, 0]]}, "exp(completeness) overflows"),
        ({"proposals": [[0.5, 0.4], [0, 1]]}, "proposal 0 is [0.5, 0.4"),
        ({"proposals": [[0, 0.4], [0, 1.5]]}, "proposal 1 is [0.0, 1.5]"),
        ({"activity": np.zeros((2, 4))}, "activity is (2, 4), expected (2, 3)"),
    ],
)
def test_bad_scores_are_named(change, message):
    with pytest.raises(InputError) as caught:
        detect([video(**change)], LABELS)
    assert message in str(caught.value) and "'v1'" in str(caught.value)


@pytest.mark.parametrize(
    "settings",
    [
        {"top_k": 0},
        {"nms_tiou": 1.5},
        {"nms_tiou": float("nan")},
        {"nms": "medium"},
        {"sigma": 0},
        {"class_top_k": -1},
    ],
)
def test_bad_settings_are_named_when_they_are_made(settings):
    ((name, value),) = settings.items()
    with pytest.raises(InputError, match=rf"detection\.{name} is {value!r}; expected "):
        dataclasses.replace(SETTINGS, **settings)


def test_a_missing_file_of_class_scores_is_named_when_settings_are_made(tmp_path):
    with pytest.raises(InputError, match=r"gone\.json: there is no such file"):
        dataclasses.replace(SETTINGS, class_scores=str(tmp_path / "gone.json"))


def test_other_refusals(class_scores):
    for scores, labels, arguments, message in (
        ([video(), video()], LABELS, {}, "scored twice"),
        ([], LABELS, {}, "no scored video"),
        ([video()], ["run"], {}, "for 1 classes"),
        ([video()], [], {}, "no class names"),
        ([video(duration=0.0)], LABELS, {}, "duration is 0.0 s"),
        ([video("v2")], LABELS, {"class_scores": class_scores(1, 2)}, "video 'v2' has no class scores"),
    ):
        with pytest.raises(InputError, match=message):
            detect(scores, labels, **arguments)


def test_zero_length_proposals_are_legal():
    check_scores([video(proposals=[(0.5, 0.5), (0, 1)])], 2)
    assert [50, 50] in detect([video(proposals=[(0.5, 0.5), (0, 1)])], LABELS).segments.tolist()


def test_proposals_of_scores_are_in_seconds():
    scores = [video("v1", seed=1), video("v2", proposals=[], seed=2)]
    proposals = proposals_of(scores)
    np.testing.assert_allclose(proposals.segments, [[10, 50], [60, 90]])
    assert proposals.video_ids == ["v1", "v2"] and proposals.labels == ["proposal"]
    assert np.all(proposals.scores > 0)
