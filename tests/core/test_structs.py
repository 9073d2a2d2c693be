"""The structs that cross module borders: what is checked of scores, how centers are counted and detections joined."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contextloc_jax.core.errors import InputError
from contextloc_jax.core.structs import BACKGROUND, FOREGROUND, INCOMPLETE, check_scores, concatenate, count_centers
from tests.helpers.random_detections import detection_rows, detections_of, repeatable
from tests.helpers.scored_videos import scored_video


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"activity": [[0, np.nan, 0], [0, 0, 0]]}, "activity of proposal 0 is not finite"),
        ({"completeness": [[0, 0], [np.inf, 0]]}, "completeness of proposal 1 is not finite"),
        ({"regression": np.full((2, 2, 2), -np.inf)}, "regression of proposal 0 is not finite"),
        ({"proposals": [[0.5, 0.4], [0, 1]]}, "proposal 0 is [0.5, 0.4"),
        ({"proposals": [[0, 0.4], [0, 1.5]]}, "proposal 1 is [0.0, 1.5]"),
        ({"proposals": [[0, 0.4], [-0.5, 1]]}, "proposal 1 is [-0.5, 1.0]"),
        ({"activity": np.zeros((2, 4))}, "activity is (2, 4), expected (2, 3)"),
        ({"completeness": np.zeros((2, 3))}, "completeness is (2, 3), expected (2, 2)"),
        ({"regression": np.zeros((1, 2, 2))}, "regression is (1, 2, 2), expected (2, 2, 2)"),
        ({"duration": np.inf}, "duration is inf s"),
        ({"duration": -1.0}, "duration is -1.0 s"),
    ],
)
def test_bad_scores_are_named(change, message):
    with pytest.raises(InputError) as caught:
        check_scores([scored_video("first"), scored_video(**change)], 2, where="rgb: ")
    assert str(caught.value).startswith("rgb: video 'v1'") and message in str(caught.value)


def test_the_number_of_classes_is_that_of_the_first_video_where_nobody_states_it():
    with pytest.raises(InputError, match=r"^video 'b': activity is \(2, 4\), expected \(2, 3\) for 2 classes$"):
        check_scores([scored_video("a"), scored_video("b", activity=np.zeros((2, 4)))], None)


def test_every_video_is_scored_once_and_there_is_one():
    with pytest.raises(InputError, match=r"^video 'v1' is scored twice; expected each video once$"):
        check_scores([scored_video(), scored_video()], 2)
    with pytest.raises(InputError, match=r"^flow: no scored video; expected at least one$"):
        check_scores([], 2, "flow: ")


def test_zero_length_proposals_and_no_proposals_are_legal():
    check_scores([scored_video(proposals=[(0.5, 0.5), (0, 1)]), scored_video("none", proposals=[])], 2)


@given(st.lists(st.sampled_from([FOREGROUND, INCOMPLETE, BACKGROUND]), max_size=20))
def test_the_centers_that_each_loss_judges_are_counted(center_type):
    found = count_centers(np.array(center_type, np.int32))
    activity = center_type.count(FOREGROUND) + center_type.count(BACKGROUND)
    assert found.tolist() == [activity, center_type.count(FOREGROUND)] and found.dtype == np.int32


def named_rows(detections) -> list[tuple]:
    """Every detection with the names that its columns point to."""
    columns = detections.video, detections.label, detections.segments.tolist(), detections.scores.tolist()
    return [(detections.video_ids[v], detections.labels[c], *s, score) for v, c, s, score in zip(*columns, strict=True)]


@repeatable
@given(st.lists(detection_rows, min_size=1, max_size=4))
def test_joined_detections_are_those_of_the_parts_in_their_order(parts):
    parts = [
        detections_of(rows, videos=[f"part {number}, video {video}" for video in range(3)])
        for number, rows in enumerate(parts)
    ]
    joined = concatenate(parts)
    assert named_rows(joined) == [row for part in parts for row in named_rows(part)]
    assert joined.video_ids == [name for part in parts for name in part.video_ids]


def test_detections_of_other_classes_or_of_nothing_cannot_be_joined():
    for parts in ([], [detections_of([]), detections_of([], labels=["run"])]):
        with pytest.raises(InputError, match="at least one video, all with the same labels"):
            concatenate(parts)
