"""Compare: skill is told from chance, and runs that cannot be compared are one line."""

import pytest

from contextloc_jax.commands.compare import compare
from contextloc_jax.interchange.detection_files import write_activitynet
from contextloc_jax.localization.decode import detect
from tests.helpers.scored_runs import LABELS, database, evaluated, read, refused, score, scores, truth
from tests.helpers.scored_videos import detection_settings


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
        detections = detect(scores(1, skill, num_videos=3), LABELS, detection_settings())
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
