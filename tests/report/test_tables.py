"""The tables of a terminal: never wider than it, and what they leave out."""

import numpy as np

from contextloc_jax.core.structs import Detections
from contextloc_jax.evaluation.average_precision import summarize
from contextloc_jax.evaluation.diagnosis import diagnose
from contextloc_jax.evaluation.judging import judge
from contextloc_jax.evaluation.significance import intervals
from contextloc_jax.localization.decode import detect
from contextloc_jax.report.tables import diagnosis_tables, precision_table
from tests.helpers.random_detections import THUMOS14
from tests.helpers.scored_runs import LABELS, scores, truth
from tests.helpers.scored_videos import detection_settings


def measured(detections: Detections) -> tuple[dict, dict]:
    """(content of metrics.json, content of diagnosis.json)."""
    judged = judge(detections, truth(), THUMOS14)
    metrics = summarize(judged.matches, THUMOS14) | {"interval": intervals(judged.matches, THUMOS14)}
    return metrics, diagnose(judged)


def some_detections() -> Detections:
    return detect(scores(0, 2.0), LABELS, detection_settings())


def test_tables_fit_any_terminal():
    metrics, diagnosis = measured(some_detections())
    metrics["AP"] |= {"a class with a name of forty characters..": metrics["AP"]["run"]}
    for columns in (80, 100, 120, 200):
        tables = [precision_table(metrics, THUMOS14, columns), diagnosis_tables(diagnosis, THUMOS14, columns)]
        assert max(len(line) for table in tables for line in table.splitlines()) <= columns
    assert "forty characters" not in precision_table(metrics, THUMOS14, 80)
    assert "forty characters" in precision_table(metrics, THUMOS14, 200)
    assert f"{100 * metrics['mAP']['0.5']:.1f}" in precision_table(metrics, THUMOS14, 80)


def test_many_classes_are_left_to_the_file():
    metrics, _ = measured(some_detections())
    metrics["AP"] = {f"class {i}": metrics["AP"]["run"] for i in range(200)}
    table = precision_table(metrics, THUMOS14, 80)
    assert len(table.splitlines()) < 12
    assert "200 classes are in metrics.json" in " ".join(table.split())


def test_a_perfect_detector_has_no_costly_error():
    columns = truth()
    perfect = Detections(columns.video_ids, columns.labels, *columns[3:], np.full(len(columns.video), 0.5))
    metrics, diagnosis = measured(perfect)
    assert metrics["average_mAP"] == 1
    text = diagnosis_tables(diagnosis, THUMOS14, 80)
    assert "No kind of error costs anything. Missed: 0.0% of the instances." in text
