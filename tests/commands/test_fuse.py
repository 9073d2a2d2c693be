"""Fuse: the weighted mean of streams as a run of its own, and streams that cannot be fused."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from contextloc_jax.commands.fuse import fuse, parse_streams
from contextloc_jax.core.errors import InputError
from contextloc_jax.evaluation.average_precision import evaluate
from contextloc_jax.interchange.detection_files import read_detections
from contextloc_jax.interchange.score_files import load_scores
from contextloc_jax.localization.decode import detect
from contextloc_jax.localization.fusion import fuse as fuse_scores
from tests.helpers.scored_runs import LABELS, NUM_VIDEOS, VIDEOS, evaluated, read, refused, scores, truth
from tests.helpers.scored_videos import detection_settings

EVALUATE_FILES = {"scores.npz", "detections.json", "metrics.json", "diagnosis.json", "report.html"}


def test_fuse_is_the_weighted_mean_of_raw_scores(tmp_path, capsys):
    rgb, flow, out = evaluated(tmp_path / "rgb", 1), evaluated(tmp_path / "flow", 2), tmp_path / "out"
    fuse(str(out), f"rgb={rgb}:1, flow={flow}:1.2", None)
    assert {path.name for path in out.iterdir()} == EVALUATE_FILES
    fused = fuse_scores([scores(1, 2.0), scores(2, 2.0)], [1, 1.2])
    for mine, expected in zip(load_scores(out / "scores.npz"), fused, strict=True):
        np.testing.assert_array_equal(mine.activity, expected.activity)
    detections = detect(fused, LABELS, detection_settings(nms_tiou=0.32))
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
    settings = detection_settings(nms_tiou=0.32, class_scores=path, class_top_k=1)
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


def test_damaged_scores_are_one_line(tmp_path):
    a, b, out = evaluated(tmp_path / "a", 1), evaluated(tmp_path / "b", 2), tmp_path / "out"
    data = (b / "scores.npz").read_bytes()
    (b / "scores.npz").write_bytes(data[: len(data) // 2])
    refused("scores.npz", out, fuse, str(out), f"a={a}:1,b={b}:1", None)
