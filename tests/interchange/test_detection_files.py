"""Files of detections and scores: the same numbers after a round trip, the same bytes twice, and clear faults."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contextloc_jax.core.errors import InputError
from contextloc_jax.core.structs import Detections
from contextloc_jax.evaluation.average_precision import evaluate
from contextloc_jax.interchange.detection_files import read_detections, write_activitynet, write_csv
from tests.helpers.fuzzing import FUZZ
from tests.helpers.random_detections import detections_of, found, truths

WRITERS = {"json": write_activitynet, "csv": write_csv}
within_folder = settings(FUZZ, max_examples=60)


@within_folder
@given(found, truths, st.sampled_from([*WRITERS]), st.floats(0.1, 3))
def test_a_written_file_scores_identically(tmp_path, detections, truth, form, stretch):
    detections = detections._replace(segments=detections.segments * stretch, scores=detections.scores / 3)
    truth = truth._replace(segments=truth.segments * stretch)
    path = tmp_path / f"detections.{form}"
    WRITERS[form](path, detections)
    assert evaluate(read_detections(path), truth, "thumos14") == evaluate(detections, truth, "thumos14")


@pytest.mark.parametrize("form", WRITERS)
def test_names_and_digits_survive(tmp_path, form):
    names = ['comma, "quote"', "Zürich\n", "</script>"]
    detections = Detections(
        names,
        ["a,b", "ü"],
        np.array([2, 0, 1]),
        np.array([1, 0, 1]),
        np.array([[-0.1, 1 / 3], [5, 5], [1e-17, 1e7]]),
        np.array([0.1 + 0.2, 1e-300, 7.0]),
    )
    path = tmp_path / f"x.{form}"
    WRITERS[form](path, detections)
    back = read_detections(path)
    columns = (detections, back)
    rows = [
        sorted(
            (d.video_ids[v], d.labels[c], *s, score)
            for v, c, s, score in zip(d.video, d.label, d.segments.tolist(), d.scores.tolist(), strict=True)
        )
        for d in columns
    ]
    assert rows[0] == rows[1]


@pytest.mark.parametrize("form", WRITERS)
def test_the_same_detections_give_the_same_bytes(tmp_path, form):
    detections = detections_of([((0, 0, (0, 10)), 0.5), ((0, 1, (0, 10)), 0.9), ((2, 0, (3, 4)), 0.5)])
    for name in ("a", "b"):
        WRITERS[form](tmp_path / f"{name}.{form}", detections)
    assert (tmp_path / f"a.{form}").read_bytes() == (tmp_path / f"b.{form}").read_bytes()


def test_the_activitynet_form(tmp_path):
    write_activitynet(tmp_path / "x.json", detections_of([((0, 0, (0, 10)), 0.5), ((0, 1, (1, 2)), 0.9)]))
    content = json.loads((tmp_path / "x.json").read_text())
    assert content.keys() == {"version", "results", "external_data"}
    assert content["results"] == {
        "v10": [
            {"label": "jump", "segment": [1.0, 2.0], "score": 0.9},
            {"label": "run", "segment": [0.0, 10.0], "score": 0.5},
        ],
        "v2": [],
        "v1": [],
        "unseen": [],
    }


def write_results(tmp_path, results, name="x.json"):
    (tmp_path / name).write_text(json.dumps({"results": results}))
    return tmp_path / name


GOOD = {"label": "run", "segment": [1, 2], "score": 0.5}


@pytest.mark.parametrize(
    ("results", "message"),
    [
        ([], "no 'results' object"),
        (None, "no 'results' object"),
        ({}, "holds no detections"),
        ({"v": []}, "holds no detections"),
        ({"v": {}}, "video 'v': found {}"),
        ({"v": ["x"]}, "row 0"),
        ({"v": [GOOD, GOOD | {"score": float("nan")}]}, "video 'v', row 1: score nan is not finite"),
        ({"v": [GOOD | {"score": None}]}, "row 0"),
        ({"v": [GOOD | {"score": "high"}]}, "row 0"),
        ({"v": [GOOD | {"score": [1]}]}, "row 0"),
        ({"v": [GOOD | {"segment": [2, 1]}]}, "segment [2.0, 1.0] ends before it starts"),
        ({"v": [GOOD | {"segment": [1]}]}, "is not two finite numbers"),
        ({"v": [GOOD | {"segment": [1, 2, 3]}, GOOD | {"segment": [1]}]}, "row 0"),
        ({"v": [GOOD | {"segment": [1, float("inf")]}]}, "is not two finite numbers"),
        ({"v": [GOOD | {"segment": 3}]}, "row 0"),
        ({"v": [GOOD, GOOD | {"segment": "12"}]}, "row 1: segment '12' is not two finite numbers"),
        ({"v": [GOOD | {"score": True}]}, "row 0: True is not a number"),
        ({"v": [GOOD | {"label": None}]}, "label None is not the name of a class"),
        ({"v": [{"segment": [1, 2], "score": 1}]}, "'label' is missing"),
        ({"v": [GOOD | {"segment": [1, 10**400]}]}, "row 0"),
    ],
)
def test_faults_in_json_are_named(tmp_path, results, message):
    with pytest.raises(InputError) as caught:
        read_detections(write_results(tmp_path, results))
    assert message in str(caught.value) and "x.json" in str(caught.value) and "\n" not in str(caught.value)


def test_a_numbered_class_is_named_by_its_digits(tmp_path):
    assert read_detections(write_results(tmp_path, {"v": [GOOD | {"label": 3}]})).labels == ["3"]


def test_zero_length_and_numbers_as_text_are_legal(tmp_path):
    read = read_detections(write_results(tmp_path, {"v": [GOOD | {"segment": ["1.5", "1.5"], "score": "2"}]}))
    assert read.segments.tolist() == [[1.5, 1.5]] and read.scores.tolist() == [2]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        ("video,label,score\n", ":1: no column 'start_seconds'"),
        ("video,label,start_seconds,end_seconds,score\n", "holds no detections"),
        ("video,label,start_seconds,end_seconds,score\nv,run,1,2,0.5\nv,run,1\n", ":3: 3 columns"),
        ("video,label,start_seconds,end_seconds,score\nv,run,one,2,0.5\n", ":2: could not convert"),
        ("video,label,start_seconds,end_seconds,score\nv,run,2,1,0.5\n", ":2: segment [2.0, 1.0] ends before"),
        ("video,label,start_seconds,end_seconds,score\nv,run,1,2,nan\n", ":2: score nan is not finite"),
    ],
)
def test_faults_in_csv_are_named(tmp_path, text, message):
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(InputError) as caught:
        read_detections(tmp_path / "x.csv")
    assert message in str(caught.value) and "x.csv" in str(caught.value)


def test_csv_of_other_tools(tmp_path):
    (tmp_path / "x.csv").write_text("\ufeffscore,t-start,t-end,label,video-id\r\n0.5,1,2,run,v10\r\n\r\n", newline="")
    read = read_detections(tmp_path / "x.csv")
    assert read.video_ids == ["v10"] and read.labels == ["run"] and read.segments.tolist() == [[1, 2]]


def test_other_suffixes(tmp_path):
    with pytest.raises(InputError, match=r"ends in \.json"):
        read_detections(tmp_path / "x.pkl")


@within_folder
@given(st.binary(max_size=60))
def test_any_bytes_are_refused(tmp_path, content):
    for name in ("x.json", "x.csv"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError):
            read_detections(tmp_path / name)
