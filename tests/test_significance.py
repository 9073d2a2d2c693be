"""Bootstrap over videos: exact where it can be, repeatable, and honest about chance."""

import json

import numpy as np
import pytest
from hypothesis import given

from contextloc_jax.batch import Detections, GroundTruth
from contextloc_jax.errors import InputError
from contextloc_jax.metrics import evaluate
from contextloc_jax.significance import compare, format_comparison, intervals, resampled_mean_ap
from tests.random_detections import detections_of, found, ground_truth_of, repeatable, truths


def detector(skill, seed, num_videos=60):
    """A detector and its ground truth: two instances a video, found with probability `skill`, beside noise."""
    random = np.random.RandomState(seed)
    rows, truth = [], []
    for v in range(num_videos):
        for start in (0, 30):
            truth.append((v, (start, start + 10)))
            if random.uniform() < skill:
                rows.append((v, (start + random.uniform(0, 2), start + 10), random.normal(1)))
        rows += [(v, (60 + i, 70 + i), random.normal(0)) for i in range(3)]
    names = [f"v{v}" for v in range(num_videos)]

    def columns(rows):
        return np.array([row[0] for row in rows]), np.zeros(len(rows), int), np.array([row[1] for row in rows], float)

    scores = np.array([row[2] for row in rows])
    return (
        Detections(names, ["x"], *columns(rows), scores),
        GroundTruth(names, np.full(num_videos, 100.0), ["x"], *columns(truth)),
    )


@repeatable
@given(found, truths)
def test_every_video_once_is_the_metric(detections, truth):
    once = np.ones((1, len(truth.video_ids)), int)
    mean_ap = resampled_mean_ap(detections, truth, "thumos14", once)[0]
    expected = evaluate(detections, truth, "thumos14")["mAP"].values()
    np.testing.assert_allclose(mean_ap, list(expected), atol=1e-12)


def test_leaving_a_video_out_is_evaluating_without_it():
    detections, truth = detector(0.6, 0, num_videos=5)
    draws = 1 - np.eye(5, dtype=int)
    resampled = resampled_mean_ap(detections, truth, "thumos14", draws)
    for v in range(5):
        kept, instances = detections.video != v, truth.video != v
        rest = detections._replace(
            **{name: getattr(detections, name)[kept] for name in ("video", "label", "segments", "scores")}
        )
        less = truth._replace(**{name: getattr(truth, name)[instances] for name in ("video", "label", "segments")})
        np.testing.assert_allclose(resampled[v], list(evaluate(rest, less, "thumos14")["mAP"].values()), atol=1e-12)


def test_every_video_twice_counts_both_copies_at_one_place():
    truth = ground_truth_of([(0, 0, (0, 10))])
    rows = detections_of([((1, 0, (0, 10)), 0.9), ((0, 0, (0, 10)), 0.8)])
    assert resampled_mean_ap(rows, truth, "thumos14", np.array([[2, 2, 0, 0]]))[0, 0] == 0.5
    assert resampled_mean_ap(rows, truth, "thumos14", np.array([[3, 1, 0, 0]]))[0, 0] == 0.75


def test_a_class_that_is_not_drawn_leaves_the_mean():
    truth = ground_truth_of([(0, 0, (0, 10)), (1, 1, (0, 10))])
    rows = detections_of([((0, 0, (0, 10)), 0.9)])
    drawn = resampled_mean_ap(rows, truth, "thumos14", np.array([[1, 1, 1, 1], [2, 0, 1, 1], [0, 0, 2, 2]]))[:, 0]
    np.testing.assert_array_equal(drawn, [0.5, 1, np.nan])


def test_the_interval_holds_the_measured_value_and_repeats():
    detections, truth = detector(0.6, 1)
    metrics = evaluate(detections, truth, "thumos14")
    found = intervals(detections, truth, "thumos14", num_draws=200, seed=3)
    assert found == intervals(detections, truth, "thumos14", num_draws=200, seed=3)
    assert found != intervals(detections, truth, "thumos14", num_draws=200, seed=4)
    for threshold, (low, high) in found["mAP"].items():
        assert low <= metrics["mAP"][threshold] <= high
    low, high = found["average_mAP"]
    assert 0.02 < high - low < 0.4
    assert intervals(detections, truth, "thumos14", 200, 3, level=0.5)["average_mAP"][0] > low
    json.dumps(found, allow_nan=False)


def test_more_videos_narrow_the_interval():
    widths = []
    for num_videos in (20, 320):
        low, high = intervals(*detector(0.6, 2, num_videos), "thumos14", num_draws=200)["average_mAP"]
        widths.append(high - low)
    assert widths[1] < widths[0] / 2


def test_a_perfect_detector_has_no_spread():
    truth = detector(1.0, 0, num_videos=10)[1]
    perfect = detections_of([], videos=truth.video_ids, labels=["x"])._replace(
        video=truth.video, label=truth.label, segments=truth.segments, scores=np.ones(len(truth.label))
    )
    assert intervals(perfect, truth, "thumos14", num_draws=50)["average_mAP"] == [1, 1]


def test_a_clear_difference_is_shown_both_ways():
    (good, truth), (bad, _) = detector(0.9, 5), detector(0.4, 6)
    found = compare(bad, good, truth, "thumos14", num_draws=300)
    assert found["conclusion"] == "second is better" and found["average_mAP"]["p"] < 0.02
    back = compare(good, bad, truth, "thumos14", num_draws=300)
    assert back["conclusion"] == "first is better"
    assert back["average_mAP"]["difference"] == pytest.approx(-found["average_mAP"]["difference"])
    assert found["mAP"]["0.5"]["second"] == pytest.approx(evaluate(good, truth, "thumos14")["mAP"]["0.5"])
    assert "second is better" in format_comparison(found, ("a", "b"))


def test_equal_skill_is_rarely_called_a_difference():
    """Ten pairs of runs of one detector: at 95 % about one in twenty may stand out."""
    called = 0
    for seed in range(10):
        (first, truth), (second, _) = detector(0.6, 2 * seed), detector(0.6, 2 * seed + 1)
        called += compare(first, second, truth, "thumos14", num_draws=200)["conclusion"] != "no difference shown"
    assert called <= 2


def test_a_run_compared_with_itself():
    detections, truth = detector(0.6, 1)
    found = compare(detections, detections, truth, "thumos14", num_draws=50)
    assert found["average_mAP"]["interval"] == [0, 0] and found["average_mAP"]["p"] == 1
    assert found["conclusion"] == "no difference shown"


def test_bad_settings():
    detections, truth = detector(0.6, 1, num_videos=3)
    for arguments in ({"num_draws": 0}, {"level": 1.0}, {"level": 0}):
        with pytest.raises(InputError, match="bootstrap"):
            intervals(detections, truth, "thumos14", **arguments)
