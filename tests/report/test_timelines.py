"""The rows of the report: what they hold, and that they say of every detection what the metrics say."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given

from contextloc_jax.core.structs import Detections, GroundTruth
from contextloc_jax.evaluation.average_precision import evaluate
from contextloc_jax.evaluation.diagnosis import diagnose
from contextloc_jax.evaluation.judging import CORRECT, VERDICTS, judge
from contextloc_jax.evaluation.matching import find_matches
from contextloc_jax.report.timelines import video_rows
from tests.helpers.plain_metrics import plain_tiou
from tests.helpers.random_detections import ACTIVITYNET, THUMOS14, VIDEOS, found, repeatable, truths


def judged_rows(detections, truth, names, cap, protocol=THUMOS14):
    judged = judge(detections, truth, protocol)
    return video_rows(judged.detections, judged, names, cap)


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
    a, b = judged_rows(detections, truth, ["a", "b"], cap=10)
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
    (video,) = video_rows(detections, None, ["v"], cap=4)
    assert [row[2] for row in video["detections"]] == [4.143, 4, 3.857, 3.714]
    assert video["truth"] is None
    assert len(video["detections"][0]) == 4
    late = np.full((count, 2), [20.0, 29.0])
    late[0] = [0.0, 9.0]  # the worst score alone is right: beyond the cap, yet in the video's AP
    truth = GroundTruth(["v"], np.array([30.0]), ["x"], np.array([0]), np.array([0]), np.array([[0.0, 9.0]]))
    (video,) = judged_rows(detections._replace(segments=late), truth, ["v"], cap=4)
    assert video["ap"] == round(1 / count, 4)


def test_an_unknown_duration_is_none():
    truth = GroundTruth(["v"], np.array([np.nan]), ["x"], np.zeros(1, int), np.zeros(1, int), np.array([[0, 9.0]]))
    detections = Detections(["v"], ["x"], np.zeros(1, int), np.zeros(1, int), np.array([[0, 9.0]]), np.ones(1))
    assert judged_rows(detections, truth, ["v"], cap=4)[0]["duration"] is None


def interpolated(correct: list[bool], num_instances: int) -> float:
    """AP of one ranked list, by plain loops."""
    precision = [sum(correct[: i + 1]) / (i + 1) for i in range(len(correct))]
    return sum(max(precision[i:]) for i, hit in enumerate(correct) if hit) / num_instances


@repeatable
@given(found, truths)
def test_the_page_agrees_with_the_metrics_on_every_detection(detections, truth):
    """Segments and scores lie on a grid: ties, duplicates and zero lengths are common, and rounding changes nothing."""
    videos = judged_rows(detections, truth, VIDEOS, cap=1000)
    assert videos == judged_rows(detections, truth, VIDEOS, cap=1000, protocol=ACTIVITYNET)
    rows = [(video["name"], *row) for video in videos for row in video["detections"]]
    columns = detections.video, *detections.segments.T, detections.scores, detections.label
    assert sorted(row[:5] for row in rows) == sorted((VIDEOS[v], *rest) for v, *rest in zip(*columns, strict=True))

    metrics = evaluate(detections, truth, THUMOS14)
    matches = find_matches(detections, truth, [0.5])
    found_rows = np.flatnonzero(matches.finder[0] >= 0)
    correct = [row for row in rows if row[5] == CORRECT]
    assert Counter(row[4] for row in correct) == Counter(truth.label[found_rows].tolist())
    places = [int(np.count_nonzero(truth.video[:g] == truth.video[g])) for g in found_rows]
    found_instances = [(VIDEOS[truth.video[g]], place) for g, place in zip(found_rows, places, strict=True)]
    assert sorted((row[0], row[7]) for row in correct) == sorted(found_instances)

    shares = diagnose(judge(detections, truth, THUMOS14))["false_positives"]["all"]
    counts = Counter(list(VERDICTS)[row[5]] for row in rows)
    assert {name: counts[name] / len(rows) for name in VERDICTS} == shares

    for label, name in enumerate(truth.labels):
        ranked = sorted((row for row in rows if row[4] == label), key=lambda row: (-row[3], row[0], row[1], row[2]))
        if name in metrics["AP"]:
            ap = interpolated([row[5] == CORRECT for row in ranked], int(np.count_nonzero(truth.label == label)))
            assert ap == pytest.approx(metrics["AP"][name]["0.5"], abs=1e-12)


@repeatable
@given(found, truths)
def test_the_numbers_beside_a_verdict_belong_to_it(detections, truth):
    """The tIoU is with the instance that the row names; a video's AP follows from its verdicts."""
    for video in judged_rows(detections, truth, VIDEOS, cap=1000):
        for start, end, _, label, verdict, tiou, instance in video["detections"]:
            there = [plain_tiou((start, end), other[:2]) for other in video["truth"]]
            if instance < 0:
                assert max(there, default=0) == tiou == 0
            else:
                assert tiou == round(there[instance], 3)
                assert verdict == CORRECT or there[instance] == pytest.approx(max(there))
            if verdict == CORRECT:
                assert tiou >= 0.5 and video["truth"][instance][2] == label
        correct = [row[4] == CORRECT for row in video["detections"]]
        if video["truth"]:
            assert video["ap"] == pytest.approx(interpolated(correct, len(video["truth"])), abs=5.1e-5)
        else:
            assert video["ap"] is None
