"""Score: right files and numbers, one line for every mistake, and nothing written after one."""

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

from contextloc_jax.commands.score import content_digest
from contextloc_jax.core.errors import InputError
from contextloc_jax.evaluation.average_precision import evaluate
from contextloc_jax.evaluation.diagnosis import diagnose
from contextloc_jax.evaluation.judging import judge
from contextloc_jax.evaluation.significance import intervals
from contextloc_jax.interchange.detection_files import read_detections
from contextloc_jax.interchange.score_files import load_ground_truth
from input_pipeline.formats import annotations
from tests.helpers.paths import ROOT
from tests.helpers.random_detections import THUMOS14
from tests.helpers.scored_runs import LABELS, NUM_VIDEOS, VIDEOS, database, read, refused, score, truth

SCORE_FILES = {"detections.json", "diagnosis.json", "ground_truth.npz", "metrics.json", "report.html"}


def test_score_measures_what_the_library_measures(tmp_path, files, found, capsys):
    out = tmp_path / "out" / "deep"
    score(out, found, files("truth.json", database()))
    assert {path.name for path in out.iterdir()} == SCORE_FILES
    columns, detections = truth(), read_detections(found)
    metrics = read(out / "metrics.json")
    assert metrics.pop("data")["identity"] == content_digest(columns)
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
        return content_digest(annotations.ground_truth(videos, "thumos14", labels=LABELS))

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
