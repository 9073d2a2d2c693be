"""From scores to detections: order of the steps, cuts and ties, class scores, and what is refused."""

import json

import numpy as np
import pytest

from contextloc_jax.core.errors import InputError
from contextloc_jax.localization import decode
from contextloc_jax.localization.decode import proposals_of, score_classes
from tests.helpers.random_detections import ground_truth_of
from tests.helpers.scored_videos import LABELS, detection_settings, scored_video


def detect(scores, labels, ground_truth=None, **changes):
    """Detections with THUMOS14's settings, some of them changed."""
    return decode.detect(scores, labels, detection_settings(**changes), ground_truth)


def test_score_is_softmax_times_exponential_completeness():
    scores = score_classes(np.array([[0.0, 0.0, np.log(2)]]), np.array([[0.0, np.log(3)]]))
    np.testing.assert_allclose(scores, [[0.25, 1.5]])


def test_detections_are_seconds_regressed_after_nms():
    """The second proposal falls to NMS although regression would move the two apart."""
    shifts = np.zeros((2, 2, 2))
    shifts[0, :, 0] = 1.0
    found = detect(
        [scored_video(proposals=[(0.1, 0.3), (0.1, 0.31)], activity=[[0, 5, -9], [0, 4, -9]], regression=shifts)],
        LABELS,
        nms_tiou=0.5,
    )
    run = found.label == 0
    np.testing.assert_allclose(found.segments[run], [[30, 50]])
    assert found.video_ids == ["v1"] and found.labels == LABELS


def test_regression_is_clipped_to_the_video_and_without_shifts_changes_nothing():
    shifts = np.zeros((2, 2, 2))
    shifts[:, :, 1] = 3.0
    assert detect([scored_video(regression=shifts)], LABELS).segments.tolist() == [[0, 100]] * 4
    plain = detect([scored_video()], LABELS).segments
    np.testing.assert_allclose(np.unique(plain), [10, 50, 60, 90])


def test_top_k_is_taken_over_proposals_and_classes_before_nms():
    scores = scored_video(proposals=[(0, 1)] * 3, activity=np.zeros((3, 3)), completeness=[[3, 0], [2, 1], [1.5, 0]])
    found = detect([scores], LABELS, top_k=3)  # the cut keeps three of class run, of which NMS leaves one
    assert found.label.tolist() == [0]
    assert detect([scores], LABELS, top_k=4).label.tolist() == [0, 1]


def test_equal_scores_at_the_cut_keep_the_earlier_proposal_then_class():
    scores = scored_video(
        proposals=[(0, 0.1), (0.2, 0.3), (0.4, 0.5)], activity=np.zeros((3, 3)), completeness=np.zeros((3, 2))
    )
    found = detect([scores], LABELS, top_k=3, nms="none")
    assert sorted(zip(found.segments[:, 0].round().tolist(), found.label.tolist(), strict=True)) == [
        (0, 0),
        (0, 1),
        (20, 0),
    ]


def test_rows_come_by_video_class_and_decreasing_score():
    found = detect([scored_video("b", seed=1), scored_video("a", seed=2)], LABELS)
    keys = list(zip(found.video, found.label, -found.scores, strict=True))
    assert keys == sorted(keys) and found.video_ids == ["b", "a"]


@pytest.mark.parametrize("method", ["linear", "gaussian"])
def test_soft_nms_lowers_scores_and_keeps_more(method):
    scores = [scored_video(proposals=[(0.1, 0.5), (0.12, 0.5), (0.7, 0.8)])]
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
    plain = detect([scored_video()], LABELS)
    weighted = detect([scored_video()], LABELS, class_scores=class_scores(0.5, 0.0))
    np.testing.assert_allclose(weighted.scores, plain.scores[plain.label == 0] * 0.5)
    best = detect([scored_video()], LABELS, class_scores=class_scores(0.2, 0.7), class_top_k=1)
    np.testing.assert_allclose(best.scores, plain.scores[plain.label == 1] * 0.7)


def test_a_dropped_class_takes_no_place_of_the_top_k(class_scores):
    scores = scored_video(proposals=[(0, 0.1), (0.4, 0.5)], completeness=[[9, 0], [9, 0]])
    assert detect([scores], LABELS, top_k=2, class_scores=class_scores(0, 1)).label.tolist() == [1, 1]


def test_the_oracle_keeps_the_annotated_classes_of_annotated_videos():
    truth = ground_truth_of([(2, 1, (0, 1))])._replace(labels=LABELS)  # v1 shows the second class
    assert set(detect([scored_video()], LABELS, truth, class_scores="oracle").label) == {1}
    with pytest.raises(InputError, match="is 'oracle', but 1 videos are not annotated: 'other'"):
        detect([scored_video("other")], LABELS, truth, class_scores="oracle")
    with pytest.raises(InputError, match="these videos have no annotations"):
        detect([scored_video()], LABELS, class_scores="oracle")


def test_a_video_without_proposals_has_no_detections():
    found = detect([scored_video("a", proposals=[]), scored_video("b")], LABELS)
    assert found.video_ids == ["a", "b"] and set(found.video) == {1}


def test_a_completeness_whose_exponential_overflows_is_named():
    with pytest.raises(InputError, match=r"video 'v1'.*exp\(completeness\) overflows"):
        detect([scored_video(completeness=[[0, 0], [1000, 0]])], LABELS)


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
        detection_settings(**settings)


def test_a_missing_file_of_class_scores_is_named_when_settings_are_made(tmp_path):
    with pytest.raises(InputError, match=r"gone\.json: there is no such file"):
        detection_settings(class_scores=str(tmp_path / "gone.json"))


def test_other_refusals(class_scores):
    for scores, labels, arguments, message in (
        ([scored_video(), scored_video()], LABELS, {}, "scored twice"),
        ([], LABELS, {}, "no scored video"),
        ([scored_video()], ["run"], {}, "for 1 classes"),
        ([scored_video()], [], {}, "no class names"),
        ([scored_video(duration=0.0)], LABELS, {}, "duration is 0.0 s"),
        ([scored_video("v2")], LABELS, {"class_scores": class_scores(1, 2)}, "video 'v2' has no class scores"),
    ):
        with pytest.raises(InputError, match=message):
            detect(scores, labels, **arguments)


def test_zero_length_proposals_are_legal():
    assert [50, 50] in detect([scored_video(proposals=[(0.5, 0.5), (0, 1)])], LABELS).segments.tolist()


def test_proposals_of_scores_are_in_seconds():
    scores = [scored_video("v1", seed=1), scored_video("v2", proposals=[], seed=2)]
    proposals = proposals_of(scores)
    np.testing.assert_allclose(proposals.segments, [[10, 50], [60, 90]])
    assert proposals.video_ids == ["v1", "v2"] and proposals.labels == ["proposal"]
    assert np.all(proposals.scores > 0)
