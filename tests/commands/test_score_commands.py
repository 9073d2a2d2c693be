"""Score, compare and fuse: right files and numbers, one line for every mistake, nothing written after one."""

import dataclasses
import hashlib
import itertools
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from contextloc_jax.commands import score as command
from contextloc_jax.commands.compare import compare
from contextloc_jax.commands.fuse import fuse, parse_streams
from contextloc_jax.commands.results import write_results
from contextloc_jax.core.errors import InputError
from contextloc_jax.core.protocols import find_protocol
from contextloc_jax.core.structs import GroundTruth, VideoScores
from contextloc_jax.evaluation.average_precision import evaluate
from contextloc_jax.evaluation.diagnosis import diagnose
from contextloc_jax.evaluation.judging import judge
from contextloc_jax.evaluation.significance import intervals
from contextloc_jax.interchange.detection_files import read_detections, write_activitynet
from contextloc_jax.interchange.score_files import load_ground_truth, load_scores
from contextloc_jax.localization.decode import DetectionSettings, detect
from contextloc_jax.localization.fusion import fuse as fuse_scores
from contextloc_jax.report.tables import diagnosis_tables, precision_table
from input_pipeline.formats import annotations
from tests.helpers.paths import ROOT
from tests.helpers.random_detections import THUMOS14

LABELS = ["jump", "run"]
NUM_VIDEOS = 12
VIDEOS = [f"v{i}" for i in range(NUM_VIDEOS)]
EVALUATE_FILES = {"scores.npz", "detections.json", "metrics.json", "diagnosis.json", "report.html"}
SCORE_FILES = {"detections.json", "diagnosis.json", "ground_truth.npz", "metrics.json", "report.html"}


def truth(labels=LABELS, shift=0.0) -> GroundTruth:
    """Two instances in each video of 100 s."""
    video, label = np.repeat(np.arange(NUM_VIDEOS), 2), np.tile([0, 1], NUM_VIDEOS)
    start = np.tile([10.0, 60.0], NUM_VIDEOS) + video + shift
    return GroundTruth(VIDEOS, np.full(NUM_VIDEOS, 100.0), labels, video, label, np.stack([start, start + 20], 1))


def scores(seed: int, skill: float, num_proposals: int = 30, num_videos: int = NUM_VIDEOS) -> list[VideoScores]:
    """Random proposals (the same for every seed), of which those near an instance score higher by `skill`."""
    spans, noise = np.random.RandomState(0), np.random.RandomState(seed)
    videos = []
    for v, name in enumerate(VIDEOS[:num_videos]):
        start = spans.uniform(0, 0.7, num_proposals)
        proposals = np.stack([start, start + spans.uniform(0.1, 0.3, num_proposals)], axis=1)
        activity = noise.standard_normal((num_proposals, 3)).astype(np.float32)
        for label, begin in enumerate((10 + v, 60 + v)):
            activity[:, label + 1] += skill * (np.abs(proposals - [begin / 100, begin / 100 + 0.2]).sum(axis=1) < 0.15)
        regression = 0.1 * noise.standard_normal((num_proposals, 2, 2))
        completeness = noise.standard_normal((num_proposals, 2)).astype(np.float32)
        videos.append(VideoScores(name, 100.0, proposals, activity, completeness, regression))
    return videos


def detection_settings(**changes) -> DetectionSettings:
    settings = DetectionSettings(THUMOS14, top_k=200, nms_tiou=0.35, nms="hard", class_scores="", class_top_k=0)
    return dataclasses.replace(settings, **changes)


def evaluated(folder: Path, seed=0, skill=2.0, ground_truth=None, identity="data", protocol="thumos14", n=30) -> Path:
    """A workdir as evaluate leaves it."""
    folder.mkdir()
    settings = detection_settings(protocol=find_protocol(protocol))
    write_results(folder, scores(seed, skill, n), ground_truth or truth(), settings, identity, "a run")
    return folder


def database(subset="test", **more) -> dict:
    """`truth` in ActivityNet's form."""
    columns = truth()
    videos = {name: {"duration": 100.0, "subset": subset, "annotations": []} for name in VIDEOS}
    for video, label, segment in zip(columns.video, columns.label, columns.segments.tolist(), strict=True):
        videos[VIDEOS[video]]["annotations"].append({"label": LABELS[label], "segment": segment})
    return {"database": videos | more}


@pytest.fixture
def files(tmp_path):
    """A function that writes content as JSON and returns its path."""

    def write(name: str, content: object) -> str:
        (tmp_path / name).write_text(json.dumps(content))
        return str(tmp_path / name)

    return write


@pytest.fixture
def found(tmp_path) -> str:
    """Detections of all videos, in a file."""
    path = tmp_path / "found.json"
    write_activitynet(path, detect(scores(0, 2.0), LABELS, detection_settings(top_k=2000)))
    return str(path)


def read(path: Path) -> dict:
    return json.loads(path.read_text())


def score(folder, detections, annotated, protocol="thumos14", subset=None):
    command.score(str(folder), detections, annotated, protocol, subset, annotations)


def refused(words: str, folder: Path, function, *arguments):
    """The command ends in one line with `words` and leaves no workdir."""
    with pytest.raises(InputError) as error:
        function(*arguments)
    assert words in str(error.value)
    assert "\n" not in str(error.value)
    assert not folder.is_dir()


# Score


def test_score_measures_what_the_library_measures(tmp_path, files, found, capsys):
    out = tmp_path / "out" / "deep"
    score(out, found, files("truth.json", database()))
    assert {path.name for path in out.iterdir()} == SCORE_FILES
    columns, detections = truth(), read_detections(found)
    metrics = read(out / "metrics.json")
    assert metrics.pop("data")["identity"] == command.content_digest(columns)
    judged = judge(detections, columns, THUMOS14)
    assert metrics.pop("interval") == intervals(judged.matches, THUMOS14)
    assert metrics == evaluate(detections, columns, "thumos14")
    assert 0.1 < metrics["average_mAP"] < 1
    assert read(out / "diagnosis.json") == diagnose(judged)
    np.testing.assert_array_equal(load_ground_truth(out / "ground_truth.npz").segments, columns.segments)
    printed = capsys.readouterr().out
    for words in ("mAP (%)", "95% from", "background", "mAP_N", "missed", "costliest", "report.html"):
        assert words in printed
    assert f"{100 * metrics['average_mAP']:.2f}%" in printed
    assert max(map(len, printed.splitlines()[:-1])) <= 80


def test_score_again_gives_the_same_bytes(tmp_path, files, found):
    annotated = files("truth.json", database())
    for name in ("a", "b"):
        score(tmp_path / name, found, annotated)
    for name in SCORE_FILES:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_a_scored_file_in_the_workdir_stays_as_it_is(tmp_path, files, found):
    own = tmp_path / "out" / "detections.json"
    own.parent.mkdir()
    text = json.dumps(read(Path(found)) | {"external_data": {"used": True}})
    own.write_text(text)
    score(own.parent, str(own), files("truth.json", database()))
    assert own.read_text() == text


def test_the_identity_is_of_the_content_not_of_the_file(files):
    def identity(content):
        videos = annotations.read_annotations(files("x.json", content))
        return command.content_digest(annotations.ground_truth(videos, "thumos14", labels=LABELS))

    content = database()
    turned = json.loads(json.dumps({"database": dict(reversed(content["database"].items()))}))
    turned["database"]["v0"]["annotations"].reverse()
    assert identity(turned) == identity(content)
    turned["database"]["v3"]["annotations"][0]["segment"][1] += 0.001
    assert identity(turned) != identity(content)


def test_a_class_of_another_subset_is_known(tmp_path, files, found):
    """Detections may name a class that the evaluated subset has no instance of."""
    other = {"duration": 9.0, "subset": "validation", "annotations": [{"label": "swim", "segment": [1, 2]}]}
    content = read(Path(found))
    content["results"]["v0"].append({"label": "swim", "segment": [1.0, 2.0], "score": 0.1})
    score(tmp_path / "out", files("more.json", content), files("truth.json", database(other_video=other)))
    assert read(tmp_path / "out" / "metrics.json")["classes_without_instances"] == ["swim"]


def test_the_default_subset_follows_the_protocol(tmp_path, files, found):
    annotated = files("truth.json", database(subset="validation"))
    score(tmp_path / "anet", found, annotated, "activitynet")
    score(tmp_path / "thumos", found, annotated, "thumos14", "Validation")
    assert read(tmp_path / "anet" / "metrics.json")["videos"] == NUM_VIDEOS
    refused("'validation'", tmp_path / "no", score, tmp_path / "no", found, annotated, "thumos14")


def test_annotations_without_the_evaluated_subset_are_named(tmp_path, files, found):
    annotated = files("truth.json", database(subset="training"))
    with pytest.raises(InputError, match=r"truth\.json: no annotated video is in subset .* one of \['training'\]"):
        score(tmp_path / "run", found, annotated)


def test_scoring_for_long_says_how_long(tmp_path, files, found, monkeypatch, capsys):
    score(tmp_path / "run", found, files("truth.json", database()))
    assert not capsys.readouterr().err
    now = itertools.count(1000.0, 10.0)
    monkeypatch.setattr(time, "monotonic", lambda: next(now))
    score(tmp_path / "run", found, files("truth.json", database()))
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("score 30/100") and lines[0].endswith("0:23 left")
    assert lines[-1].startswith("score 100/100")


def test_detections_of_another_subset_say_so(tmp_path, files, found):
    other = {"duration": 100.0, "subset": "validation", "annotations": []}
    annotated = files("truth.json", database(v5=other))
    refused("subset 'validation'", tmp_path / "out", score, tmp_path / "out", found, annotated)


@pytest.mark.parametrize(
    ("words", "rows"),
    [
        ("'nobody'", {"nobody": [{"label": "run", "segment": [1, 2], "score": 0.5}]}),
        ("'fly'", {"v0": [{"label": "fly", "segment": [1, 2], "score": 0.5}]}),
        ("not finite", {"v0": [{"label": "run", "segment": [1, 2], "score": float("nan")}]}),
        ("before it starts", {"v0": [{"label": "run", "segment": [3, 2], "score": 0.5}]}),
        ("no detections", {}),
    ],
)
def test_bad_detections_are_one_line_that_names_the_file(tmp_path, files, words, rows):
    path, annotated = files("bad.json", {"results": rows}), files("truth.json", database())
    refused(words, tmp_path / "out", score, tmp_path / "out", path, annotated)
    refused("bad.json", tmp_path / "out", score, tmp_path / "out", path, annotated)


@pytest.mark.parametrize(
    ("words", "segment"),
    [
        ("1 of 1 detections start after their video ends; are times in seconds?", [250, 500]),
        ("no detection ends later than 1 s; are times in seconds, not fractions", [0.1, 0.3]),
        ("mAP is 0: no detection finds an instance", [95, 95]),
    ],
)
def test_a_score_of_nothing_says_what_may_be_wrong(tmp_path, files, capsys, words, segment):
    path = files("found.json", {"results": {"v0": [{"label": "run", "segment": segment, "score": 0.5}]}})
    score(tmp_path / "out", path, files("truth.json", database()))
    notes = [line for line in capsys.readouterr().out.splitlines() if line.startswith("note: ")]
    assert any(words in line for line in notes) and "mAP is 0" in notes[-1]


def test_a_usual_score_has_no_doubts(tmp_path, files, found, capsys):
    score(tmp_path / "out", found, files("truth.json", database()))
    assert "note:" not in capsys.readouterr().out


def test_missing_files_unknown_protocol_and_unusable_workdir(tmp_path, files, found):
    out, annotated = tmp_path / "out", files("truth.json", database())
    refused("gone.json", out, score, out, str(tmp_path / "gone.json"), annotated)
    refused("gone.json", out, score, out, found, str(tmp_path / "gone.json"))
    refused("'hollywood'", out, score, out, found, annotated, "hollywood")
    refused("--workdir", Path(found), score, Path(found), found, annotated)
    empty = {name: {"subset": "test", "annotations": []} for name in VIDEOS}
    refused("no annotated instance", out, score, out, found, files("empty.json", {"database": empty}))


# Tables


def test_tables_fit_any_terminal(tmp_path, files, found):
    score(tmp_path / "out", found, files("truth.json", database()))
    metrics, diagnosis = (read(tmp_path / "out" / name) for name in ("metrics.json", "diagnosis.json"))
    metrics["AP"] |= {"a class with a name of forty characters..": metrics["AP"]["run"]}
    for columns in (80, 100, 120, 200):
        tables = [precision_table(metrics, THUMOS14, columns), diagnosis_tables(diagnosis, THUMOS14, columns)]
        assert max(len(line) for table in tables for line in table.splitlines()) <= columns
    assert "forty characters" not in precision_table(metrics, THUMOS14, 80)
    assert "forty characters" in precision_table(metrics, THUMOS14, 200)
    assert f"{100 * metrics['mAP']['0.5']:.1f}" in precision_table(metrics, THUMOS14, 80)


def test_many_classes_are_left_to_the_file(tmp_path, files, found):
    score(tmp_path / "out", found, files("truth.json", database()))
    metrics = read(tmp_path / "out" / "metrics.json")
    metrics["AP"] = {f"class {i}": metrics["AP"]["run"] for i in range(200)}
    table = precision_table(metrics, THUMOS14, 80)
    assert len(table.splitlines()) < 12
    assert "200 classes are in metrics.json" in " ".join(table.split())


def test_a_perfect_detector_has_no_costly_error(tmp_path, files):
    rows = {
        name: [row | {"score": 0.5} for row in entry["annotations"]] for name, entry in database()["database"].items()
    }
    score(tmp_path / "out", files("perfect.json", {"results": rows}), files("truth.json", database()))
    assert read(tmp_path / "out" / "metrics.json")["average_mAP"] == 1
    text = diagnosis_tables(read(tmp_path / "out" / "diagnosis.json"), THUMOS14, 80)
    assert "No kind of error costs anything. Missed: 0.0% of the instances." in text


# Compare


def test_compare_tells_skill_from_chance(tmp_path, capsys):
    weak, good = evaluated(tmp_path / "weak", 1, 0.0), evaluated(tmp_path / "good", 2, 8.0)
    capsys.readouterr()
    compare(str(tmp_path / "out"), f"{weak},{good}", None)
    assert read(tmp_path / "out" / "comparison.json")["conclusion"] == "second is better"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["comparison.json"]
    assert f"{good} is better than {weak}" in capsys.readouterr().out.replace("\n", " ")
    compare(str(tmp_path / "out"), f"{good},{weak}", None)
    assert f"{good} is better than {weak}" in capsys.readouterr().out.replace("\n", " ")
    compare(str(tmp_path / "out"), f"{good},{weak}", "activitynet")
    assert read(tmp_path / "out" / "comparison.json")["protocol"] == "activitynet"


def test_two_seeds_of_one_skill_are_no_progress(tmp_path, capsys):
    runs = [str(evaluated(tmp_path / str(seed), seed, 2.0)) for seed in (1, 2)]
    compare(str(tmp_path / "out"), ",".join(runs), None)
    assert "no more than chance explains" in capsys.readouterr().out.replace("\n", " ")


def test_few_videos_prove_nothing(tmp_path, files, capsys):
    """Where the bootstrap alone would speak of a difference."""
    few = {"database": dict(list(database()["database"].items())[:3])}
    for name, skill in (("weak", 0.0), ("good", 8.0)):
        detections = detect(scores(1, skill, num_videos=3), LABELS, detection_settings(top_k=2000))
        write_activitynet(tmp_path / f"{name}.json", detections)
        score(tmp_path / name, str(tmp_path / f"{name}.json"), files("few.json", few))
    compare(str(tmp_path / "out"), f"{tmp_path / 'weak'},{tmp_path / 'good'}", None)
    comparison = read(tmp_path / "out" / "comparison.json")
    assert comparison["average_mAP"]["interval"][0] > 0
    assert comparison["conclusion"] == "too few videos to tell"
    assert "too few videos (3) to tell this from chance" in capsys.readouterr().out.replace("\n", " ")


def test_a_scored_workdir_compares_with_an_evaluated_one(tmp_path, files):
    run = evaluated(tmp_path / "run")
    score(tmp_path / "scored", str(run / "detections.json"), files("truth.json", database()))
    compare(str(tmp_path / "out"), f"{tmp_path / 'scored'},{run}", None)
    average = read(tmp_path / "out" / "comparison.json")["average_mAP"]
    assert average["difference"] == 0
    assert average["first"] == pytest.approx(read(run / "metrics.json")["average_mAP"], abs=1e-12)


def test_runs_that_cannot_be_compared(tmp_path):
    a, out = evaluated(tmp_path / "a"), tmp_path / "out"
    moved = evaluated(tmp_path / "moved", ground_truth=truth(shift=1.0))
    anet = evaluated(tmp_path / "anet", protocol="activitynet")
    mistakes = {
        "expected two": f"{a}",
        "found 3 folders": f"{a},{a},{a}",
        "the same folder": f"{a},{a}/",
        "no such folder": f"{a},{tmp_path / 'gone'}",
        "other instances": f"{a},{moved}",
        "choose with --protocol": f"{a},{anet}",
    }
    for words, runs in mistakes.items():
        refused(words, out, compare, str(out), runs, None)
    refused("'hollywood'", out, compare, str(out), f"{a},{anet}", "hollywood")
    (anet / "detections.json").unlink()
    refused("detections.json", out, compare, str(out), f"{a},{anet}", "thumos14")
    (a / "scores.npz").unlink()
    refused("holds no ground truth", out, compare, str(out), f"{a},{anet}", "thumos14")


# Fuse


def test_fuse_is_the_weighted_mean_of_raw_scores(tmp_path, capsys):
    rgb, flow, out = evaluated(tmp_path / "rgb", 1), evaluated(tmp_path / "flow", 2), tmp_path / "out"
    fuse(str(out), f"rgb={rgb}:1, flow={flow}:1.2", None)
    assert {path.name for path in out.iterdir()} == EVALUATE_FILES
    fused = fuse_scores([scores(1, 2.0), scores(2, 2.0)], [1, 1.2])
    for mine, expected in zip(load_scores(out / "scores.npz"), fused, strict=True):
        np.testing.assert_array_equal(mine.activity, expected.activity)
    detections = detect(fused, LABELS, detection_settings(top_k=2000, nms_tiou=0.32))
    metrics = read(out / "metrics.json")
    assert metrics["AP"] == evaluate(detections, truth(), "thumos14")["AP"]
    assert metrics["detections"] == len(detections.scores)
    assert metrics["data"] == {"identity": "data"}
    assert "rgb (weight 1), flow (weight 1.2)" in capsys.readouterr().out
    fuse(str(tmp_path / "again"), f"a={out}:1,b={rgb}:1", "activitynet")  # a fusion is a run
    assert read(tmp_path / "again" / "metrics.json")["protocol"] == "activitynet"


def test_fuse_with_class_scores_keeps_the_best_classes_of_a_video(tmp_path, files, capsys):
    a, b, out = evaluated(tmp_path / "a", 1), evaluated(tmp_path / "b", 2), tmp_path / "out"
    by_video = {name: {"jump": 0.7, "run": 0.2 if v % 2 else 0.9} for v, name in enumerate(VIDEOS)}
    path = files("classes.json", by_video)
    fuse(str(out), f"a={a}:1,b={b}:1", None, path, 1)
    fused = fuse_scores([scores(1, 2.0), scores(2, 2.0)], [1, 1])
    settings = detection_settings(top_k=2000, nms_tiou=0.32, class_scores=path, class_top_k=1)
    expected = detect(fused, LABELS, settings)
    kept = read_detections(out / "detections.json")
    assert sorted(kept.scores) == sorted(expected.scores)
    assert {(kept.video_ids[v], kept.labels[c]) for v, c in zip(kept.video, kept.label, strict=True)} == {
        (name, LABELS[v % 2 == 0]) for v, name in enumerate(VIDEOS)
    }
    assert read(out / "metrics.json")["class_scores"] == {"source": "classes.json", "top_k": 1}
    printed = " ".join(capsys.readouterr().out.split())
    assert "class scores: classes.json, the best 1 classes of a video" in printed


def test_the_oracle_classifier_raises_fused_map_and_says_so(tmp_path):
    one_class = truth()._replace(**{name: getattr(truth(), name)[::2] for name in ("video", "label", "segments")})
    a, b = (evaluated(tmp_path / name, seed, 1.0, one_class) for seed, name in enumerate("ab"))
    plain, oracle = tmp_path / "plain", tmp_path / "oracle"
    fuse(str(plain), f"a={a}:1,b={b}:1", "activitynet")
    fuse(str(oracle), f"a={a}:1,b={b}:1", "activitynet", "oracle")
    found = read(oracle / "metrics.json")
    assert found["class_scores"] == {"source": "oracle", "top_k": 2}  # ActivityNet's usual number of classes
    assert found["detections"] < read(plain / "metrics.json")["detections"]
    assert set(read_detections(oracle / "detections.json").labels) == {"jump"}
    assert "annotated classes (oracle)" in (oracle / "report.html").read_text()


def test_class_scores_that_cannot_be_used(tmp_path, files):
    a, b, out = evaluated(tmp_path / "a", 1), evaluated(tmp_path / "b", 2), tmp_path / "out"
    streams = f"a={a}:1,b={b}:1"
    for words, path, top_k in (
        ("no such file", str(tmp_path / "gone.json"), None),
        ("never a pickle", str(tmp_path / "classes.pkl"), None),
        ("video 'v0' has no class scores", files("empty.json", {}), None),
        ("which is not given", None, 1),
    ):
        refused(words, out, fuse, str(out), streams, None, path, top_k)


def test_streams_of_other_features_have_an_identity_in_any_order(tmp_path):
    a, b = evaluated(tmp_path / "a", 1, identity="one"), evaluated(tmp_path / "b", 2, identity="two")
    identities = set()
    for name, streams in (("ab", f"a={a}:1,b={b}:1"), ("ba", f"b={b}:1,a={a}:1")):
        fuse(str(tmp_path / name), streams, None)
        identities.add(read(tmp_path / name / "metrics.json")["data"]["identity"])
    assert identities == {hashlib.sha256(b"one\ntwo").hexdigest()}


@pytest.mark.parametrize(
    ("words", "streams"),
    [
        ("is not a stream", ""),
        ("is not a stream", "rgb"),
        ("is not a stream", "rgb=DIR"),
        ("is not a stream", "=DIR:1"),
        ("is not a stream", "rgb=:1"),
        ("is not a stream", "rgb=DIR:1,"),
        ("weight 'x' of rgb", "rgb=DIR:x"),
        ("weight of rgb", "rgb=DIR:-1"),
        ("weight of rgb", "rgb=DIR:nan"),
        ("weight of rgb", "rgb=DIR:inf"),
        ("one stream", "rgb=DIR:1"),
        ("the name of rgb", "rgb=DIR:1,rgb=OTHER:1"),
        ("the folder of rgb", "rgb=DIR:1,flow=DIR/../DIR:1"),
        ("all weights are 0", "rgb=DIR:0,flow=OTHER:0"),
    ],
)
def test_malformed_streams(tmp_path, words, streams):
    refused(words, tmp_path / "out", fuse, str(tmp_path / "out"), streams, None)


def test_a_folder_with_a_colon_is_a_stream():
    assert parse_streams("a=x:y:2,b=z:0")[0] == ("a", Path("x:y"), 2.0)


def test_streams_that_cannot_be_fused(tmp_path):
    a, b, out = evaluated(tmp_path / "a", 1), evaluated(tmp_path / "b", 2), tmp_path / "out"
    turned = truth(LABELS[::-1])._replace(label=np.tile([1, 0], NUM_VIDEOS))
    others = {
        "no such folder": tmp_path / "gone",
        "other instances": evaluated(tmp_path / "moved", ground_truth=truth(shift=1.0)),
        "have different classes": evaluated(tmp_path / "turned", ground_truth=turned),
        "with other proposals": evaluated(tmp_path / "fewer", n=29),
        "choose with --protocol": evaluated(tmp_path / "anet", protocol="activitynet"),
    }
    for words, folder in others.items():
        refused(words, out, fuse, str(out), f"a={a}:1,b={folder}:1", None)
    refused("'hollywood'", out, fuse, str(out), f"a={a}:1,b={b}:1", "hollywood")
    with pytest.raises(InputError, match="is the stream b"):
        fuse(str(b), f"a={a}:1,b={b}:1", None)


@pytest.mark.parametrize(
    "content", ["{", "[]", "{}", '{"protocol": 3, "data": {"identity": "x"}}', '{"protocol": "thumos14"}']
)
def test_damaged_metrics_are_one_line(tmp_path, content):
    a, b, out = evaluated(tmp_path / "a", 1), evaluated(tmp_path / "b", 2), tmp_path / "out"
    (b / "metrics.json").write_text(content)
    refused("metrics.json", out, fuse, str(out), f"a={a}:1,b={b}:1", None)
    refused("metrics.json", out, compare, str(out), f"{a},{b}", None)


def test_damaged_scores_are_one_line(tmp_path):
    a, b, out = evaluated(tmp_path / "a", 1), evaluated(tmp_path / "b", 2), tmp_path / "out"
    data = (b / "scores.npz").read_bytes()
    (b / "scores.npz").write_bytes(data[: len(data) // 2])
    refused("scores.npz", out, fuse, str(out), f"a={a}:1,b={b}:1", None)


# The command line


def run_python(*arguments: str) -> subprocess.CompletedProcess:
    environment = os.environ | {"COLUMNS": "80"}
    return subprocess.run([sys.executable, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True)


def test_score_and_compare_need_neither_jax_nor_tensorflow(tmp_path, files, found):
    """The command line with all of them made impossible to import."""
    script = (
        "import sys, runpy; sys.modules.update(dict.fromkeys(['jax', 'tensorflow', 'flax', 'clu', 'orbax']));"
        "sys.argv[0] = 'main.py'; runpy.run_path('main.py', run_name='__main__')"
    )
    annotated, out = files("truth.json", database()), tmp_path / "out"
    flags = [f"--detections={found}", f"--annotations={annotated}", "--protocol=thumos14", f"--workdir={out}"]
    done = run_python("-c", script, "--mode=score", *flags)
    assert (done.returncode, done.stderr) == (0, "")
    assert {path.name for path in out.iterdir()} == SCORE_FILES
    copy, compared = shutil.copytree(out, tmp_path / "copy"), tmp_path / "compared"
    done = run_python("-c", script, "--mode=compare", f"--runs={out},{copy}", f"--workdir={compared}")
    assert (done.returncode, done.stderr) == (0, "")
    assert (compared / "comparison.json").exists()


@pytest.mark.parametrize(
    ("code", "words", "flags"),
    [
        (1, "error: --streams: 'rgb'", ["--mode=fuse", "--streams=rgb", "--workdir=OUT"]),
        (2, "--mode=fuse needs --streams", ["--mode=fuse", "--workdir=OUT"]),
        (2, "--workdir", ["--mode=compare", "--runs=A,B"]),
        (2, "--streams is not for --mode=compare", ["--mode=compare", "--runs=A,B", "--streams=x", "--workdir=OUT"]),
        (2, "'sed'", ["--config=configs/default.py", "--config.sed=3", "--workdir=OUT"]),
        (2, "'configs/gone.py'", ["--config=configs/gone.py", "--workdir=OUT"]),
    ],
)
def test_mistakes_on_the_command_line_are_one_line(tmp_path, code, words, flags):
    done = run_python("main.py", *(flag.replace("OUT", str(tmp_path / "out")) for flag in flags))
    assert (done.returncode, done.stdout) == (code, "")
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()
