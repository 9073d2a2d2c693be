"""Bins of instances: by hand, and against DETAD's own file for THUMOS14's test set."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from contextloc_jax.core.structs import GroundTruth
from contextloc_jax.evaluation.characteristics import characteristics
from tests.helpers.random_detections import ACTIVITYNET, THUMOS14


def truth_of(segments, video=None, duration=100.0):
    count = len(segments)
    video = np.zeros(count, int) if video is None else np.array(video)
    durations = np.full(video.max() + 1, duration)
    names = [str(v) for v in range(len(durations))]
    return GroundTruth(names, durations, ["x"], video, np.zeros(count, int), np.array(segments, float))


def bins(kind):
    return [kind.names[b] if b >= 0 else None for b in kind.bin]


def test_a_bin_includes_its_upper_edge():
    segments = [(0, 0), (0, 3), (0, 3.1), (0, 6), (0, 12), (0, 18), (0, 18.1), (0, 200)]
    kinds = characteristics(truth_of(segments), THUMOS14)
    assert bins(kinds["length"]) == ["XS", "XS", "S", "S", "M", "L", "XL", "XL"]
    np.testing.assert_array_equal(kinds["length"].values, [0, 3, 3.1, 6, 12, 18, 18.1, 200])
    assert bins(kinds["coverage"])[-1] == "XL"  # more than the whole video
    assert bins(characteristics(truth_of(segments), ACTIVITYNET)["length"])[-1] == "XL"


def test_instances_are_counted_in_the_video():
    kinds = characteristics(truth_of([(0, 1)] + [(i, i + 1) for i in range(41)], [0] + [1] * 41), THUMOS14)
    assert kinds["instances"].values.tolist() == [1] + [41] * 41
    assert bins(kinds["instances"]) == ["XS"] + ["M"] * 41


def test_context_is_what_lies_free_beside_an_instance():
    kinds = characteristics(truth_of([(20, 30), (32, 36), (36, 40), (90, 100), (0, 0)]), THUMOS14)
    # 20-30 looks at 15-20 and 30-35: 32-35 is taken. 90-100 looks at 85-90 and at nothing after the video.
    np.testing.assert_allclose(kinds["context"].values, [0.7, 0.5, 0.5, 0.5, np.nan])
    assert bins(kinds["context"]) == ["L", "M", "M", "M", None]


def test_context_of_overlapping_and_doubled_instances():
    kinds = characteristics(truth_of([(10, 20), (10, 20), (15, 40), (25, 30)]), THUMOS14)
    np.testing.assert_allclose(kinds["context"].values, [0.5, 0.5, (7.5 + 12.5) / 25, 0])


def test_an_unknown_duration_leaves_coverage_unknown_and_nothing_else():
    kinds = characteristics(truth_of([(20, 30)], duration=np.nan), THUMOS14)
    assert bins(kinds["coverage"]) == [None]
    assert kinds["context"].values.tolist() == [1] and bins(kinds["length"]) == ["M"]


def test_bins_agree_with_detad_on_thumos14():
    path = Path(os.environ.get("CONTEXTLOC_DATA", "nowhere")) / "thumos14_test_characteristics.json"
    if not path.is_file():
        pytest.skip("CONTEXTLOC_DATA is not set")
    database = json.loads(path.read_text())["database"]
    rows = [(v, row) for v, entry in enumerate(database.values()) for row in entry["annotations"]]
    # The file has no durations: take each video's from its first instance, and check all the others with it.
    first = [entry["annotations"][0] for entry in database.values()]
    truth = GroundTruth(
        list(database),
        np.array([row["length"] / row["coverage"] for row in first]),
        sorted({row["label"] for _, row in rows}),
        np.array([v for v, _ in rows]),
        np.zeros(len(rows), int),
        np.array([row["segment"] for _, row in rows], float),
    )
    kinds = characteristics(truth, THUMOS14)
    assert len(rows) == 3358
    for name, theirs, edges in (
        ("length", "length", [0, 3, 6, 12, 18, np.inf]),
        ("coverage", "coverage", [0, 0.02, 0.04, 0.06, 0.08, 1]),
        ("instances", "num-instances", [-1, 1, 40, 80, np.inf]),
    ):
        values = np.array([row[theirs] for _, row in rows], float)
        np.testing.assert_allclose(kinds[name].values, values, rtol=1e-12)
        expected = [next(b for b in range(len(edges) - 1) if v <= edges[b + 1]) for v in values]
        np.testing.assert_array_equal(kinds[name].bin, expected)
        assert set(expected) == set(range(len(edges) - 1))
