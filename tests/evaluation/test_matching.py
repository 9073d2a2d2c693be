"""Ranking and matching: ties, duplicates, zero lengths, what is refused, and rounds against one by one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contextloc_jax.core.errors import InputError
from contextloc_jax.evaluation import matching
from contextloc_jax.evaluation.average_precision import average_precision
from contextloc_jax.evaluation.matching import check_same_ground_truth, find_pairs, match, rank
from tests.helpers.plain_metrics import plain_average_precision
from tests.helpers.random_detections import VIDEOS, detections_of, found, ground_truth_of, repeatable, shuffled, truths


def finders(rows, truth_rows, threshold=0.5):
    """For each instance, the row of the detection that finds it, or -1."""
    detections, truth = detections_of(rows), ground_truth_of(truth_rows)
    ranking = rank(detections, truth)
    finder = match(find_pairs(ranking, truth, threshold), len(truth_rows), threshold)
    return [int(ranking.row[f]) if f >= 0 else -1 for f in finder]


def test_a_taken_instance_is_skipped_and_the_next_best_tried():
    truth = [(0, 0, (0, 10)), (0, 0, (3, 12))]
    assert finders([((0, 0, (0, 10)), 0.9), ((0, 0, (1, 10)), 0.8)], truth) == [0, 1]


def test_a_tiou_equal_to_the_threshold_is_enough():
    assert finders([((0, 0, (0, 3)), 0.9)], [(0, 0, (0, 10))], 0.3) == [0]
    assert finders([((0, 0, (0, 3)), 0.9)], [(0, 0, (0, 10))], np.nextafter(0.3, 1)) == [-1]


def test_a_duplicate_detection_is_false_and_duplicate_instances_count_twice():
    rows = [((0, 0, (0, 10)), 0.9), ((0, 0, (0, 10)), 0.8)]
    assert finders(rows, [(0, 0, (0, 10))]) == [0]
    assert sorted(finders(rows, [(0, 0, (0, 10)), (0, 0, (0, 10))])) == [0, 1]


def test_of_equal_tiou_the_later_instance_is_taken():
    truth = [(0, 0, (0, 4)), (0, 0, (4, 8))]
    assert finders([((0, 0, (2, 6)), 0.9)], truth, 0.1) == [-1, 0]
    assert finders([((0, 0, (2, 6)), 0.9)], truth[::-1], 0.1) == [0, -1]


def test_zero_length_meets_only_itself():
    assert finders([((0, 0, (3, 3)), 0.9)], [(0, 0, (3, 3))]) == [0]
    assert finders([((0, 0, (4, 4)), 0.9)], [(0, 0, (3, 3))], 0.1) == [-1]
    assert finders([((0, 0, (0, 9)), 0.9)], [(0, 0, (3, 3))], 0.1) == [-1]


def test_other_videos_and_classes_do_not_match():
    rows = [((1, 0, (0, 10)), 0.9), ((0, 1, (0, 10)), 0.8)]
    assert finders(rows, [(0, 0, (0, 10))]) == [-1]


def test_a_long_chain_of_displacements():
    """Each detection prefers the instance that the better one has; all end one further."""
    truth = [(0, 0, (i, i + 10)) for i in range(9)]
    rows = [((0, 0, (0, 10)), 0.9 - 0.01 * i) for i in range(9)]
    assert finders(rows, truth, 0.05) == list(range(9))


def test_a_better_detection_displaces_the_holder_of_its_second_choice():
    """The second row loses the first instance and takes the second from the third row, which takes the last."""
    truth = [(0, 0, (0, 10)), (0, 0, (4, 14)), (0, 0, (8, 18))]
    rows = [((0, 0, (0, 10)), 0.9), ((0, 0, (1, 11)), 0.8), ((0, 0, (5, 15)), 0.7)]
    assert finders(rows, truth, 0.1) == [0, 1, 2]


_crowded = st.lists(st.tuples(st.integers(0, 6), st.integers(1, 12)), min_size=1, max_size=12)


@repeatable
@given(_crowded, _crowded)
def test_rounds_give_what_one_by_one_gives_in_a_crowd(rows, instances):
    """One video and class, where nearly everything overlaps."""
    detections = detections_of([((0, 0, (s, s + d)), -i) for i, (s, d) in enumerate(rows)])
    truth = ground_truth_of([(0, 0, (s, s + d)) for s, d in instances])
    ap = average_precision(detections, truth, [0.05, 0.3, 0.6])[0]
    expected = [plain_average_precision(detections, truth, t)["run"] for t in (0.05, 0.3, 0.6)]
    np.testing.assert_allclose(ap, expected, atol=1e-12)


def test_pairs_found_in_blocks_are_the_same(monkeypatch):
    random = np.random.RandomState(0)
    rows = [((v, c, (s, s + 3)), 0.5) for v, c, s in random.randint([3, 2, 9], size=(200, 3)).tolist()]
    truth = ground_truth_of([(v, c, (s, s + 3)) for v, c, s in random.randint([3, 2, 9], size=(40, 3)).tolist()])
    ranking = rank(detections_of(rows), truth)
    whole = find_pairs(ranking, truth, 0.1)
    monkeypatch.setattr(matching, "PAIRS_AT_ONCE", 7)
    for column, again in zip(whole, find_pairs(ranking, truth, 0.1), strict=True):
        np.testing.assert_array_equal(column, again)


@repeatable
@given(found, truths)
def test_rank_orders_by_class_score_name_and_time(detections, truth):
    ranking = rank(detections, truth)
    keys = [
        (c, -s, truth.video_ids[v], *t)
        for c, s, v, t in zip(ranking.label, ranking.scores, ranking.video, ranking.segments.tolist(), strict=True)
    ]
    assert keys == sorted(keys)
    np.testing.assert_array_equal(detections.scores[ranking.row], ranking.scores)


GOOD = [((0, 0, (0, 10)), 0.9)]
TRUTH = ground_truth_of([(0, 0, (0, 10))])


@pytest.mark.parametrize(
    ("detections", "truth", "message"),
    [
        (detections_of(GOOD, videos=["other"]), TRUTH, "1 video name"),
        (detections_of(GOOD, labels=["swim"]), TRUTH, "'swim'"),
        (detections_of([]), TRUTH, "no detections"),
        (detections_of([((0, 0, (0, 10)), np.nan)]), TRUTH, "score nan in video 'v10'"),
        (detections_of([((0, 0, (0, np.inf)), 1)]), TRUTH, "end inf"),
        (detections_of([((0, 0, (10, 9)), 1)]), TRUTH, "ends before it starts"),
        (detections_of(GOOD), shuffled(TRUTH, []), "no annotated instance"),
        (detections_of(GOOD), ground_truth_of([(0, 0, (10, 9))]), "instance [10.0, 9.0]"),
        (detections_of(GOOD), TRUTH._replace(video_ids=["a", "b", "a", "c"]), "video 'a' occurs twice"),
        (detections_of(GOOD), TRUTH._replace(labels=["a", "b", "b"]), "class 'b' occurs twice"),
    ],
)
def test_bad_input_is_named(detections, truth, message):
    with pytest.raises(InputError) as caught:
        rank(detections, truth)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_unknown_names_without_a_detection_do_no_harm():
    detections = detections_of(GOOD, videos=["v10", "not annotated"], labels=["run", "swim"])
    assert rank(detections, TRUTH).row.tolist() == [0]


def test_same_ground_truth_in_any_order():
    rows = [(0, 0, (0, 10)), (1, 1, (2, 3)), (0, 1, (4, 5))]
    truth, names = ground_truth_of(rows), ("A", "B")
    check_same_ground_truth(truth, ground_truth_of(rows[::-1]), names)
    with pytest.raises(InputError, match="other instances in 1 videos: 'v10'"):
        check_same_ground_truth(truth, ground_truth_of([*rows[:2], (0, 1, (4, 6))]), names)
    with pytest.raises(InputError, match="1 videos were evaluated only in B: 'unseen'"):
        check_same_ground_truth(truth._replace(video_ids=VIDEOS[:3]), truth, names)
