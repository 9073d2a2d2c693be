"""Why detections fail: the diagnosis on the page, in pictures and in text."""

import pytest

from contextloc_jax.evaluation.diagnosis import diagnose
from contextloc_jax.evaluation.judging import VERDICTS, judge
from tests.helpers.random_detections import THUMOS14
from tests.helpers.report_pages import METRICS, page, results


def test_the_diagnosis_is_on_the_page_in_pictures_and_in_text(tmp_path):
    diagnosis = diagnose(judge(*results(), THUMOS14))
    made = page(tmp_path, *results(), METRICS, diagnosis=diagnosis)
    drawn = made.data["diagnosis"]
    assert drawn["verdicts"] == list(VERDICTS)
    assert [sum(shares) for shares in drawn["ranks"]] == pytest.approx([1] * len(drawn["ranks"]), abs=1e-4)
    by_name = {cost["name"]: cost["gain"] for cost in drawn["costs"]}
    expected = {name: entry["gain"] for name, entry in diagnosis["without_error"].items()}
    assert by_name == pytest.approx(expected, abs=1e-5)
    length = {bin["name"]: bin for bin in drawn["kinds"][0]["bins"]}
    assert [bin["range"] for bin in length.values()] == ["≤ 3 s", "3–6 s", "6–12 s", "12–18 s", "> 18 s"]
    assert length["M"]["instances"] == diagnosis["sensitivity"]["length"]["M"]["instances"] > 0
    assert length["M"]["missed"] == pytest.approx(diagnosis["false_negatives"]["length"]["M"], abs=1e-5)
    assert length["XL"]["mAP_N"] is None
    for text in ("Why detections fail", "The costliest error", "mAP without", "double detection"):
        assert text in made.text
    assert "Why detections fail" not in page(tmp_path, *results(), METRICS).text
