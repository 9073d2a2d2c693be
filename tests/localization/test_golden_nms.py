"""Suppression, regression, post-processing, fusion and AP against the numbers of the authors' own code (nms.npz)."""

import numpy as np
import pytest

from contextloc_jax.core.structs import Detections, GroundTruth, VideoScores
from contextloc_jax.core.suppression import nms
from contextloc_jax.evaluation.average_precision import average_precision
from contextloc_jax.localization.decode import DetectionSettings, detect, regress
from contextloc_jax.localization.fusion import fuse
from tests.helpers.golden_data import GOLDEN
from tests.helpers.random_detections import THUMOS14

LABELS = [f"class {c}" for c in range(5)]
VIDEOS = ("gA", "gB", "gC")


@pytest.fixture(scope="module")
def arrays():
    with np.load(GOLDEN / "nms.npz") as file:
        return dict(file)


def kept_rows(boxes, threshold):
    return boxes[nms(boxes[:, :2], boxes[:, 2], np.zeros(len(boxes), int), threshold)]


@pytest.mark.parametrize("case", range(6))
def test_golden_nms_keeps_the_same_rows(arrays, case):
    threshold = arrays["nms_cases"][case, 1]
    np.testing.assert_array_equal(kept_rows(arrays[f"nms{case}_in"], threshold), arrays[f"nms{case}_out"])


@pytest.mark.parametrize(("name", "threshold"), [("0.33", 1 / 3), ("0.20", 0.2), ("0.34", 0.34)])
def test_golden_nms_of_zero_length_and_equal_tiou(arrays, name, threshold):
    np.testing.assert_array_equal(kept_rows(arrays["nms_edge_in"], threshold), arrays[f"nms_edge_out_{name}"])


def test_golden_nms_of_all_cases_in_one_call(arrays):
    cases = [case for case in range(6) if arrays["nms_cases"][case, 1] == 0.35]
    boxes = [arrays[f"nms{case}_in"] for case in cases]
    groups = np.repeat(cases, [len(b) for b in boxes])
    rows = np.concatenate(boxes)
    kept = nms(rows[:, :2], rows[:, 2], groups, 0.35)
    np.testing.assert_array_equal(rows[kept], np.concatenate([arrays[f"nms{case}_out"] for case in cases]))


def test_golden_regression_of_boundaries(arrays):
    rows = arrays["regress_in"]
    # NumPy's exp differs in its last bit between processors with and without AVX-512.
    np.testing.assert_allclose(regress(rows[:, :2], rows[:, 3:]), arrays["regress_out"][:, :2], rtol=0, atol=2**-53)


def stream(arrays, prefix):
    """Videos one second long, so that seconds are the authors' fractions."""
    return [
        VideoScores(v, 1.0, *(arrays[f"{prefix}_{v}_{part}"] for part in ("rel_props", "act", "comp", "reg")))
        for v in VIDEOS
    ]


def ground_truth(arrays):
    rows = [arrays[f"post_gt_cls{c}"] for c in range(5)]
    label = np.repeat(np.arange(5), [len(r) for r in rows])
    rows = np.concatenate(rows)
    return GroundTruth(list(VIDEOS), np.ones(3), LABELS, rows[:, 0].astype(int), label, rows[:, 1:])


def detection_settings(top_k, nms_tiou):
    return DetectionSettings(THUMOS14, top_k, nms_tiou, "hard", class_scores="", class_top_k=0)


def assert_detections(found: Detections, arrays, prefix):
    """The same rows in the same order; values as exact as exp() is the same on every CPU."""
    for v, name in enumerate(VIDEOS):
        for c in range(5):
            expected = arrays[f"{prefix}_{name}_det_cls{c}"]
            rows = (found.video == v) & (found.label == c)
            actual = np.column_stack([found.segments[rows], found.scores[rows]])
            assert actual.shape == expected[:, :3].shape, (name, c)
            np.testing.assert_allclose(actual, expected[:, :3], rtol=2e-6, atol=0, err_msg=f"{name} class {c}")


def assert_average_precision(found, arrays, prefix):
    ap = average_precision(found, ground_truth(arrays), arrays[f"{prefix}_iou_range"])
    np.testing.assert_allclose(ap, arrays[f"{prefix}_ap"], rtol=0, atol=1e-14)


def test_golden_post_processing_and_average_precision(arrays):
    settings = detection_settings(int(arrays["post_top_k"]), float(arrays["post_nms_threshold"]))
    found = detect(stream(arrays, "post"), LABELS, settings)
    assert_detections(found, arrays, "post")
    assert_average_precision(found, arrays, "post")


def test_golden_fusion_of_two_streams(arrays):
    fused = fuse([stream(arrays, "post"), stream(arrays, "post2b")], arrays["post2_weights"])
    found = detect(fused, LABELS, detection_settings(2000, float(arrays["post2_nms_threshold"])))
    assert_detections(found, arrays, "post2")
    assert_average_precision(found, arrays, "post2")
