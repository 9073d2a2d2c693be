"""The judge in cases that can be checked by hand, and against the rules of each verdict on random detections."""

import numpy as np
import pytest
from hypothesis import given

from contextloc_jax.core.structs import Detections, GroundTruth
from contextloc_jax.evaluation.average_precision import evaluate, summarize
from contextloc_jax.evaluation.judging import BACKGROUND, VERDICTS, explanations, judge
from tests.helpers.plain_metrics import plain_tiou
from tests.helpers.random_detections import (
    ACTIVITYNET,
    THUMOS14,
    crowded_found,
    crowded_truths,
    found,
    repeatable,
    truths,
)


def verdicts(detections, truth):
    """detections: (start, end, label, score); truth: (start, end, label) -> (names, tiou, instance) at tIoU 0.5.

    All are in one video; a second one has an instance that nothing finds.
    """
    detections, truth = np.array(detections, float), np.array([*truth, (0, 1, 1)], float)
    names, labels = ["here", "elsewhere"], ["run", "jump"]
    video, label = np.zeros(len(detections), int), detections[:, 2].astype(int)
    columns = Detections(names, labels, video, label, detections[:, :2], detections[:, 3])
    video = np.append(np.zeros(len(truth) - 1, int), 1)
    ground_truth = GroundTruth(names, np.full(2, 99.0), labels, video, truth[:, 2].astype(int), truth[:, :2])
    judged = judge(columns, ground_truth, THUMOS14)
    instance, tiou = judged.instance_of_each(0)
    back = np.argsort(judged.matches.ranking.row)
    return [list(VERDICTS)[code] for code in judged.verdict[0][back]], tiou[back].tolist(), instance[back].tolist()


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


def test_a_false_detection_is_judged_by_its_best_instance_of_any_class():
    """The second one reaches a taken instance of its class, but another class better."""
    names, tiou, instance = verdicts([(0, 8, 0, 0.9), (0, 10, 0, 0.8)], [(0, 10, 1), (0, 8, 0)])
    assert (names, tiou, instance) == (["correct", "wrong label"], [1, 1], [1, 0])


def test_segments_without_length_and_videos_without_instances():
    assert verdicts([(5, 5, 0, 1)], [(5, 5, 0)]) == (["correct"], [1], [0])
    assert verdicts([(5, 5, 0, 1)], [(4, 4, 0)]) == (["background"], [0], [-1])
    assert verdicts([(5, 5, 0, 1)], []) == (["background"], [0], [-1])


@repeatable
@given(found | crowded_found, truths | crowded_truths)
def test_every_verdict_is_what_its_explanation_says(detections, truth):
    """Plain loops over single detections, at every threshold that ActivityNet diagnoses."""
    judged = judge(detections, truth, ACTIVITYNET)
    ranking = judged.matches.ranking
    for d, threshold in enumerate(ACTIVITYNET.diagnosed):
        finder = judged.finder[d].tolist()
        named = np.column_stack(judged.instance_of_each(d)).tolist()
        for n, code in enumerate(judged.verdict[d].tolist()):
            video, label, segment = ranking.video[n], ranking.label[n], ranking.segments[n].tolist()
            there = [g for g in range(len(truth.video)) if truth.video[g] == video]
            tiou = {g: plain_tiou(segment, truth.segments[g].tolist()) for g in there}
            best = max(tiou.values(), default=0)
            own = any(tiou[g] == best and truth.label[g] == label for g in there)
            if n in finder:
                expected = "correct"
            elif best >= threshold:
                expected = "double detection" if own else "wrong label"
            elif best >= 0.1:
                expected = "localization" if own else "confusion"
            else:
                expected = "background"
            assert list(VERDICTS)[code] == expected
            instance, shown = named[n]
            if n in finder:
                assert instance == finder.index(n) and shown == pytest.approx(tiou[instance]) and shown >= threshold
            elif best > 0:
                assert tiou[instance] == pytest.approx(best) and shown == pytest.approx(best)
                assert (truth.label[int(instance)] == label) == own
            else:
                assert (instance, shown, code) == (-1, 0, BACKGROUND)


@repeatable
@given(found | crowded_found, truths | crowded_truths)
def test_the_judges_matches_are_those_of_the_metric(detections, truth):
    for protocol in (THUMOS14, ACTIVITYNET):
        judged = judge(detections, truth, protocol)
        assert summarize(judged.matches, protocol) == evaluate(detections, truth, protocol)


def test_explanations_name_the_thresholds():
    assert set(explanations(0.75)) == set(VERDICTS)
    assert "below 0.75 (and 0.1 or more)" in explanations(0.75)["localization"]
    assert not any("{" in text for text in explanations(0.5).values())
