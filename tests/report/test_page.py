"""report.html: complete, offline, escaped, bounded, whole and the same for the same inputs."""

import re
from importlib import resources

import numpy as np
import pytest

from contextloc_jax.core.errors import InputError
from contextloc_jax.core.structs import Detections, GroundTruth
from contextloc_jax.evaluation.diagnosis import diagnose
from contextloc_jax.evaluation.judging import NEAR_TIOU, judge
from contextloc_jax.report.page import write_report, write_unjudged_report
from tests.helpers.random_detections import ACTIVITYNET, THUMOS14
from tests.helpers.report_pages import CURVES, METRICS, page, results, unjudged_page

HOSTILE = "</script><img src=x onerror=alert(1)>&\"'{{data}}<!--"


def test_page_holds_numbers_table_curves_and_facts(tmp_path):
    made = page(tmp_path, *results(), METRICS, CURVES, "Shoulder & more", Seed="7")
    assert ("title", {}) in made.tags
    for text in ("Shoulder & more", "Seed", "7", "thumos14", "0123abcd", "0.750", "0.812", "0.775", "tIoU 0.3–0.7"):
        assert text in made.text
    assert made.data["accuracy"]["thresholds"] == ["0.3", "0.5", "0.7"]
    assert made.data["accuracy"]["mean"] == [0.9, 0.8125, 0.6]
    assert made.data["accuracy"]["classes"][1] == {"name": "PEN", "label": 1, "values": [0.9, 0.775, None]}
    assert made.data["curves"][0] == {"name": "loss", "steps": [1, 2, 3], "values": [3.0, 2.0, None]}
    assert made.text.count("–") >= 2  # the two values that are no numbers


def test_page_asks_the_network_for_nothing(tmp_path):
    made = page(tmp_path, *results(), METRICS, CURVES)
    addresses = re.findall(r"[a-z]+://[^\s\"')]+", made.source)
    assert set(addresses) == {"http://www.w3.org/2000/svg"}  # a name, not an address that is opened
    policy = [a["content"] for tag, a in made.tags if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy[0].startswith("default-src 'none'")
    assert not [a for tag, a in made.tags if tag in ("img", "iframe", "object") or (tag == "script" and "src" in a)]
    assert not re.search(r"@import|url\((?!#)", made.source)


def test_every_place_of_the_template_is_filled_and_scripts_find_their_elements(tmp_path):
    made = page(tmp_path, *results(), METRICS, CURVES, diagnosis=diagnose(judge(*results(), THUMOS14)))
    assert "{{" not in made.source
    folder = resources.files("contextloc_jax.report") / "assets"
    scripts = [file.read_text("utf-8") for file in folder.iterdir() if file.name.endswith(".js")]
    assert len(scripts) == 5
    for script in scripts:
        assert script in made.source
        for element in re.findall(r'(?:byId|getElementById|listen)\("([\w-]+)"', script):
            assert element in made.ids


def test_intervals_stand_beside_what_they_are_of(tmp_path):
    bounds = {"mAP": {"0.3": [0.85, 0.95], "0.5": [0.75, 0.875], "0.7": [0.5, 0.7]}, "average_mAP": [0.7, 0.8]}
    made = page(tmp_path, *results(), {**METRICS, "interval": {**bounds, "level": 0.95}})
    for text in ("95% interval 0.700–0.800", "95% from", "0.875"):
        assert text in made.text
    assert made.data["accuracy"]["interval"] == {"level": "95%", "low": [0.85, 0.75, 0.5], "high": [0.95, 0.875, 0.7]}
    assert page(tmp_path, *results(), METRICS).data["accuracy"]["interval"] is None


def test_the_headline_quotes_what_papers_quote(tmp_path):
    both = {"mAP": {"0.5": 0.5, "0.7": 0.3, "0.75": 0.2}, "average_mAP": 0.4}
    for protocol, average, quoted in (
        (THUMOS14, "average mAP (tIoU 0.3–0.7)", ["0.5", "0.7"]),
        (ACTIVITYNET, "average mAP (tIoU 0.5–0.95)", ["0.5", "0.75"]),
    ):
        made = page(tmp_path, *results(), both, protocol=protocol)
        assert re.findall(r"<dt>mAP at tIoU ([\d.]+)</dt>", made.source) == quoted
        assert f"<dt>{average}</dt>" in made.source


def test_the_page_explains_the_verdicts_at_their_threshold(tmp_path):
    made = page(tmp_path, *results(), METRICS)
    assert made.data["tiou"] == "0.5" and made.data["verdicts"][made.data["correct"]] == "correct"
    for name in made.data["verdicts"][1:]:
        assert f"✗ {name}" in made.text
    assert f"below 0.5 (and {NEAR_TIOU} or more)" in made.text and "AP@0.5 of a video" in made.text


def test_same_inputs_same_bytes(tmp_path):
    for name in ("a.html", "b.html"):
        write_report(tmp_path / name, judge(*results(), THUMOS14), METRICS, "t", CURVES)
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.html", "b.html"]


def test_names_from_users_are_text(tmp_path):
    detections = Detections([HOSTILE], [HOSTILE], np.array([0]), np.array([0]), np.array([[1.0, 2]]), np.array([0.5]))
    truth = GroundTruth([HOSTILE], np.array([9.0]), [HOSTILE], np.array([0]), np.array([0]), np.array([[1.0, 2]]))
    metrics = {"protocol": "thumos14", "mAP": {"0.5": 1.0}, "average_mAP": 1.0, "AP": {HOSTILE: {"0.5": 1.0}}}
    clean = page(tmp_path, *results(1), {**METRICS, "mAP": {"0.5": 1.0}}, CURVES)
    made = page(tmp_path, detections, truth, metrics, {HOSTILE: ([1], [1.0])}, HOSTILE, **{HOSTILE: HOSTILE})
    assert "<img" not in made.source
    assert {tag for tag, _ in made.tags} <= {tag for tag, _ in clean.tags}
    assert made.data["videos"][0]["name"] == made.data["labels"][0] == made.data["curves"][0]["name"] == HOSTILE
    assert made.text.count(HOSTILE) >= 4


def test_a_name_that_is_no_unicode_text_is_survived(tmp_path):
    detections, _ = results(1)
    made = unjudged_page(tmp_path, detections._replace(video_ids=["video\udce4"]), "run\udce4")
    assert made.data["videos"][0]["name"] == "video\udce4"


def test_videos_without_detections_truth_or_annotation(tmp_path):
    detections = Detections(
        ["silent", "unknown"], ["x", "y"], np.array([1, 1]), np.array([0, 1]), np.array([[3, 3], [3, 4.0]]), np.ones(2)
    )
    names = ["empty", "missed", "unknown"]
    truth = GroundTruth(names, np.zeros(3), ["x", "y"], np.array([1]), np.array([0]), np.array([[2, 2.0]]))
    made = page(tmp_path, detections, truth, METRICS)
    videos = {video["name"]: video for video in made.data["videos"]}
    assert list(videos) == names
    assert videos["empty"]["truth"] == [] and videos["empty"]["ap"] is None
    assert videos["missed"] == {"name": "missed", "duration": 0.0, "ap": 0.0, "truth": [[2, 2, 0]], "detections": []}
    videos = {video["name"]: video for video in unjudged_page(tmp_path, detections).data["videos"]}
    assert list(videos) == ["silent", "unknown"] and videos["silent"]["detections"] == []
    assert videos["unknown"]["truth"] is None
    assert videos["unknown"]["detections"] == [[3, 3, 1, 0], [3, 4, 1, 1]]


def test_nothing_at_all(tmp_path):
    none = np.zeros(0, int)
    made = unjudged_page(tmp_path, Detections([], [], none, none, np.zeros((0, 2)), np.zeros(0)))
    assert made.data["videos"] == []
    assert "0 videos" in made.text


def test_prediction_has_no_verdicts(tmp_path):
    detections, _ = results()
    made = unjudged_page(tmp_path, detections)
    assert made.data["judged"] is False
    assert made.data["accuracy"] is None
    assert made.data["default_count"] == 15
    assert {len(row) for video in made.data["videos"] for row in video["detections"]} == {4}
    assert "map-chart" not in made.ids and "curves" not in made.ids
    assert "localization" not in made.text


def test_slider_starts_with_as_many_detections_as_instances(tmp_path):
    assert page(tmp_path, *results(4)).data["default_count"] == 24


def test_names_are_ordered_as_people_count(tmp_path):
    made = page(tmp_path, *results(12))
    assert [video["name"] for video in made.data["videos"]] == [f"video_{i}" for i in range(12)]


def test_size_of_a_usual_page(tmp_path):
    made = page(tmp_path, *results(24, 200, 5), METRICS, {f"c{i}": (range(5000), np.ones(5000)) for i in range(8)})
    assert {len(video["detections"]) for video in made.data["videos"]} == {100}
    assert "2,400 of 4,800 detections are drawn: the 100 best-scored of each video" in made.text
    assert len(made.source) < 300_000


def test_many_videos_are_bounded_and_the_page_says_how(tmp_path):
    made = page(tmp_path, *results(1003, 30), METRICS)
    assert len(made.data["videos"]) == 1000
    assert {len(video["detections"]) for video in made.data["videos"]} == {24}
    assert "The first 1,000 of 1,003 videos by name, video_0 to video_999." in made.text
    assert "24,000 of 30,090 detections are drawn" in made.text
    assert len(made.source) < 1_500_000


def test_scores_of_any_scale(tmp_path):
    detections, truth = results()
    made = page(tmp_path, detections._replace(scores=-1e9 * (1 + detections.scores)), truth)
    low, high = made.data["score_range"]
    assert low < high < 0


@pytest.mark.parametrize("column", ["scores", "segments"])
def test_detections_that_are_not_finite_are_named(tmp_path, column):
    detections, _ = results()
    values = getattr(detections, column).copy()
    values[9] = np.nan
    with pytest.raises(InputError, match=f"{column} of detection 9 .*video_1"):
        unjudged_page(tmp_path, detections._replace(**{column: values}))
    assert not list(tmp_path.iterdir())


def test_failed_write_is_one_clear_line_and_leaves_nothing_behind(tmp_path):
    judged = judge(*results(), THUMOS14)
    with pytest.raises(InputError, match="cannot be written"):
        write_report(tmp_path / "absent" / "report.html", judged, None, "t")
    (tmp_path / "folder.html").mkdir()
    with pytest.raises(InputError, match=r"folder\.html: cannot be written"):
        write_report(tmp_path / "folder.html", judged, None, "t")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        write_unjudged_report(tmp_path / "file" / "report.html", results()[0], "t")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder.html"]
