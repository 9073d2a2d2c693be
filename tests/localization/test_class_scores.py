"""Video-level class scores from JSON, arrays and annotations."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from contextloc_jax.core.errors import InputError
from contextloc_jax.localization.class_scores import UCF101_COLUMNS, oracle_class_scores, read_class_scores
from tests.helpers.random_detections import ground_truth_of

LABELS = ["run", "jump"]


def write(path, content):
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize(
    "content",
    [
        {"a": {"run": 0.7, "jump": 0.1}, "b": {"jump": 1}, "other": {"run": 3}},
        {"results": {"a": [{"label": "run", "score": 0.7}, {"label": "jump", "score": 0.1}], "b": {"jump": 1}}},
        {"class": ["jump", "run"], "results": {"a": [0.1, 0.7], "b": [1, 0]}},
    ],
)
def test_json_in_each_form(tmp_path, content):
    scores = read_class_scores(write(tmp_path / "x.json", content), ["a", "b"], LABELS)
    assert {name: values.tolist() for name, values in scores.items()} == {"a": [0.7, 0.1], "b": [0, 1]}


def test_activitynet_ids_may_lack_their_prefix(tmp_path):
    path = write(tmp_path / "x.json", {"results": {"a-1": [0.5, 0.5]}, "class": LABELS})
    assert read_class_scores(path, ["v_a-1"], LABELS)["v_a-1"].tolist() == [0.5, 0.5]


def test_json_of_more_classes(tmp_path):
    path = write(tmp_path / "x.json", {"a": {"run": 0.7, "jump": 0.1, "swim": 0.2}})
    assert read_class_scores(path, ["a"], LABELS)["a"].tolist() == [0.7, 0.1]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "expected {video id"),
        ({"b": {"run": 1}}, "video 'a' has no class scores"),
        ({"a": {"Run": 1, "jump": 2}}, "class 'Run' is unknown and 'run' is not scored"),
        ({"a": {"run": "x"}}, "expected {label: score}"),
        ({"a": 3}, "expected {label: score}"),
        ({"a": [{"label": "run"}]}, "expected {label: score}"),
        ({"class": LABELS, "results": {"a": [0.1]}}, "expected {label: score}"),
        ({"class": 5, "results": {"a": [0.1]}}, "expected {video id"),
        ({"a": {"run": -1}}, "finite numbers >= 0"),
        ({"a": {"run": float("nan")}}, "finite numbers >= 0"),
    ],
)
def test_faults_in_json_are_named(tmp_path, content, message):
    with pytest.raises(InputError) as caught:
        read_class_scores(write(tmp_path / "x.json", content), ["a"], LABELS)
    assert message in str(caught.value) and "x.json" in str(caught.value)


def test_rows_of_an_array_by_the_number_in_the_name(tmp_path):
    np.save(tmp_path / "x.npy", np.arange(10).reshape(5, 2))
    scores = read_class_scores(tmp_path / "x.npy", ["video_0000004", "video_0000001"], LABELS)
    assert scores["video_0000004"].tolist() == [6, 7] and scores["video_0000001"].tolist() == [0, 1]


def test_rows_of_an_array_by_sorted_name(tmp_path):
    np.save(tmp_path / "x.npy", np.arange(4).reshape(2, 2))
    assert read_class_scores(tmp_path / "x.npy", ["b", "a"], LABELS)["a"].tolist() == [0, 1]


def test_rows_by_sorted_name_are_as_many_as_the_videos(tmp_path):
    np.save(tmp_path / "x.npy", np.ones((3, 2)))
    with pytest.raises(InputError, match="3 rows for 2 videos"):
        read_class_scores(tmp_path / "x.npy", ["b", "a"], LABELS)


def test_columns_of_ucf101(tmp_path):
    np.save(tmp_path / "x.npy", np.arange(202).reshape(2, 101))
    scores = read_class_scores(tmp_path / "x.npy", ["v_2"], sorted(UCF101_COLUMNS))
    assert scores["v_2"].tolist() == [101 + column for column in UCF101_COLUMNS.values()]
    assert len(UCF101_COLUMNS) == 20


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((3, 4)), "4 columns, expected one for each of the 2 classes"),
        (np.zeros((1, 2)), "needs row 1"),
        (np.zeros(4), "expected numbers [rows, classes]"),
        (np.array([["a", "b"]] * 2), "expected numbers [rows, classes]"),
        (np.full((2, 2), np.nan), "finite numbers >= 0"),
        (np.array([[{}, 1]] * 2), "cannot be read as .npy"),
    ],
)
def test_faults_in_arrays_are_named(tmp_path, array, message):
    np.save(tmp_path / "x.npy", array, allow_pickle=True)
    with pytest.raises(InputError) as caught:
        read_class_scores(tmp_path / "x.npy", ["v1", "v2"], LABELS)
    assert message in str(caught.value)


def test_other_files(tmp_path):
    with pytest.raises(InputError, match="never a pickle"):
        read_class_scores(tmp_path / "x.pkl", ["a"], LABELS)
    with pytest.raises(InputError, match="no such file"):
        read_class_scores(tmp_path / "none.npy", ["a"], LABELS)


def test_the_oracle_knows_the_classes_of_a_video():
    scores = oracle_class_scores(ground_truth_of([(0, 0, (0, 1)), (0, 1, (0, 1)), (1, 1, (0, 1)), (0, 0, (5, 6))]))
    assert scores["v10"].tolist() == [1, 1, 0] and scores["v2"].tolist() == [0, 1, 0]
    assert scores["unseen"].tolist() == [0, 0, 0]


def test_untrimmednet_scores_name_the_class_of_most_thumos14_videos():
    folder = Path(os.environ.get("CONTEXTLOC_DATA", "nowhere"))
    if not folder.is_dir():
        pytest.skip("CONTEXTLOC_DATA is not set")
    content = json.loads((folder / "thumos14_annotations.json").read_text())
    present = {
        name: {row["label"] for row in entry["annotations"]}
        for name, entry in content.items()
        if "_test_" in name and entry["annotations"]
    }
    labels = sorted(UCF101_COLUMNS)
    scores = read_class_scores(folder / "thumos14_test_untrimmednet_scores.npy", list(present), labels)
    right = np.mean([labels[np.argmax(scores[name])] in classes for name, classes in present.items()])
    assert right > 0.9  # another order of columns or rows names one in twenty
