"""Verdicts on detections in cases that can be checked by hand, and the rows of the report."""

import numpy as np
import pytest

from contextloc_jax.core.structs import Detections, GroundTruth
from contextloc_jax.report.timelines import VERDICTS, judge, ranked_average_precision, video_rows


def verdicts(detections, truth):
    """detections: (start, end, label, score); truth: (start, end, label) -> (names, tiou, instance)."""
    detections, truth = np.array(detections, float).reshape(-1, 4), np.array(truth, float).reshape(-1, 3)
    judged = judge(
        detections[:, :2], detections[:, 2].astype(int), detections[:, 3], truth[:, :2], truth[:, 2].astype(int)
    )
    names = list(VERDICTS)
    return [names[code] for code in judged.verdict], judged.tiou.tolist(), judged.instance.tolist()


def test_each_verdict():
    truth = [(0, 10, 0), (20, 30, 1)]
    names, tiou, instance = verdicts(
        [
            (0, 10, 0, 0.9),
            (0, 8, 0, 0.8),
            (20, 30, 0, 0.7),
            (22, 40, 1, 0.6),
            (0, 4, 1, 0.5),
            (12, 18, 0, 0.4),
            (9.5, 19.5, 0, 0.3),
        ],
        truth,
    )
    assert names == [
        "correct",
        "double detection",
        "wrong label",
        "localization",
        "confusion",
        "background",
        "background",
    ]
    assert tiou == pytest.approx([1, 0.8, 1, 8 / 20, 0.4, 0, 0.5 / 19.5])
    assert instance == [0, 0, 1, 1, 0, -1, 0]


def test_order_of_rows_does_not_matter_but_score_does():
    names, _, _ = verdicts([(0, 8, 0, 0.2), (0, 10, 0, 0.1)], [(0, 10, 0)])
    assert names == ["correct", "double detection"]
    names, _, _ = verdicts([(0, 8, 0, 0.1), (0, 10, 0, 0.2)], [(0, 10, 0)])
    assert names == ["double detection", "correct"]


def test_taken_instance_leaves_the_next_best():
    truth = [(0, 10, 0), (3, 13, 0)]
    names, tiou, instance = verdicts([(0, 10, 0, 0.9), (1, 10, 0, 0.8), (1, 11, 0, 0.7)], truth)
    assert names == ["correct", "correct", "double detection"]
    assert instance[:2] == [0, 1]
    assert tiou[1] == pytest.approx(7 / 12)


def test_tiou_of_exactly_a_half_is_correct():
    assert verdicts([(0, 5, 0, 1)], [(0, 10, 0)])[0] == ["correct"]
    assert verdicts([(0, 4.99, 0, 1)], [(0, 10, 0)])[0] == ["localization"]


def test_own_class_wins_over_a_better_overlap_of_another():
    names, tiou, instance = verdicts([(0, 10, 0, 1)], [(0, 10, 1), (0, 8, 0)])
    assert (names, tiou, instance) == (["correct"], [0.8], [1])


def test_segments_without_length_and_videos_without_instances():
    assert verdicts([(5, 5, 0, 1)], [(5, 5, 0)]) == (["background"], [0], [-1])
    assert verdicts([(5, 5, 0, 1)], []) == (["background"], [0], [-1])
    assert verdicts([], [(0, 1, 0)]) == ([], [], [])


def test_ranked_average_precision():
    assert ranked_average_precision(np.array([True, False, True]), 3) == pytest.approx((1 + 2 / 3) / 3)
    assert ranked_average_precision(np.array([False, True, True]), 2) == pytest.approx(2 / 3)
    assert ranked_average_precision(np.zeros(0, bool), 2) == 0
    assert ranked_average_precision(np.array([False]), 0) is None


def test_video_rows_match_videos_and_labels_by_name():
    detections = Detections(
        ["b", "a"],
        ["jump", "run"],
        np.array([0, 1, 0]),
        np.array([0, 1, 1]),
        np.array([[0, 5], [1, 2.344], [0, 4.0]]),
        np.array([0.25, 0.123456, 0.5]),
    )
    truth = GroundTruth(
        ["a", "b"], np.array([9.0, 10.5]), ["run", "jump"], np.array([1]), np.array([1]), np.array([[0, 5.0]])
    )
    a, b = video_rows(["a", "b"], ["run", "jump"], detections, truth, cap=10)
    background = list(VERDICTS).index("background")
    assert a == {
        "name": "a",
        "duration": 9.0,
        "ap": None,
        "truth": [],
        "detections": [[1, 2.34, 0.1235, 0, background, 0, -1]],
    }
    assert b["truth"] == [[0, 5, 1]]
    assert [row[:4] for row in b["detections"]] == [[0, 4, 0.5, 0], [0, 5, 0.25, 1]]
    assert [row[4] for row in b["detections"]] == [list(VERDICTS).index("wrong label"), 0]
    assert b["ap"] == 0.5


def test_video_rows_are_capped_at_the_best_but_judged_with_all():
    count = 30
    detections = Detections(
        ["v"], ["x"], np.zeros(count, int), np.zeros(count, int), np.tile([0.0, 9.0], (count, 1)), np.arange(count) / 7
    )
    (video,) = video_rows(["v"], ["x"], detections, None, cap=4)
    assert [row[2] for row in video["detections"]] == [4.143, 4, 3.857, 3.714]
    assert video["truth"] is None
    assert len(video["detections"][0]) == 4
    late = np.full((count, 2), [20.0, 29.0])
    late[0] = [0.0, 9.0]  # the worst score alone is right: beyond the cap, yet in the video's AP
    truth = GroundTruth(["v"], np.array([30.0]), ["x"], np.array([0]), np.array([0]), np.array([[0.0, 9.0]]))
    (video,) = video_rows(["v"], ["x"], detections._replace(segments=late), truth, cap=4)
    assert video["ap"] == round(1 / count, 4)
