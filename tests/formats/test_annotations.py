"""Annotations: both JSON forms, subsets, ground truth, round trips, bad content, and the real THUMOS14 files."""

import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contextloc_jax.core.errors import InputError
from input_pipeline.formats.annotations import (
    VideoAnnotation,
    class_names,
    ground_truth,
    read_annotations,
    select_subset,
    write_annotations,
)
from input_pipeline.formats.values import ReadReport
from tests.helpers.fuzzing import FUZZ

ACTIVITYNET = {
    "version": "VERSION 1.3",
    "taxonomy": [{"nodeName": "Archery", "nodeId": 1}],
    "database": {
        "b": {
            "duration": 50.0,
            "subset": "training",
            "resolution": "320x240",
            "annotations": [{"segment": [1.5, 20], "label": "Skiing"}, {"segment": [30, 51], "label": "Archery"}],
        },
        "a": {
            "duration": "12.5",
            "subset": "validation",
            "annotations": [{"segment": ["0", "2.5"], "label": "Skiing"}],
        },
        "c": {"duration": 9, "subset": "testing", "annotations": []},
    },
}
FLAT = {
    "video_validation_0000001": {
        "duration_second": 20.0,
        "duration_frame": 200,
        "feature_frame": 198,
        "annotations": [{"segment": ["1.5", "3.0"], "label": "Diving"}],
    },
    "video_test_0000002": {"duration_second": 8.0, "annotations": []},
}


def written(tmp_path: Path, content: object) -> Path:
    path = tmp_path / "annotations.json"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def assert_same(left: VideoAnnotation, right: VideoAnnotation):
    np.testing.assert_array_equal(right.segments_seconds, left.segments_seconds)
    known = [{**vars(video), "segments_seconds": None} for video in (left, right)]
    assert known[0] == known[1]


def test_reads_activitynet(tmp_path):
    report = ReadReport()
    b, a, c = read_annotations(written(tmp_path, ACTIVITYNET), report)
    assert (b.video_id, b.subset, b.duration_seconds, b.fps, b.num_frames) == ("b", "training", 50.0, None, None)
    assert b.labels == ("Skiing", "Archery")
    np.testing.assert_array_equal(b.segments_seconds, [[1.5, 20], [30, 51]])
    assert a.duration_seconds == 12.5 and a.segments_seconds.tolist() == [[0, 2.5]]
    assert c.labels == () and c.segments_seconds.shape == (0, 2)
    assert report.count("instance kept that ends after the video") == 1
    assert class_names([a, b, c]) == ["Archery", "Skiing"]


def test_reads_the_flat_form_with_subsets_in_the_names(tmp_path):
    first, second = read_annotations(written(tmp_path, FLAT))
    assert (first.subset, first.duration_seconds, first.num_frames, first.fps) == ("validation", 20.0, 200, 10.0)
    assert (second.subset, second.num_frames, second.fps) == ("test", None, None)
    assert first.segments_seconds.tolist() == [[1.5, 3.0]]


def test_instances_without_length_are_skipped_and_counted(tmp_path):
    segments = [[5, 5], [6, 2], [1, 2]]
    content = {"v": {"annotations": [{"segment": segment, "label": "x"} for segment in segments]}}
    report = ReadReport()
    (video,) = read_annotations(written(tmp_path, content), report)
    assert video.segments_seconds.tolist() == [[1, 2]] and video.labels == ("x",)
    assert report.count("instance skipped: end <= start") == 2
    assert "video 'v' [5, 5]" in report.lines()[0]


def test_class_names_that_are_numbers_sort_as_numbers(tmp_path):
    instances = [{"segment": [0, 1], "label": label} for label in (10, "9", "b", 1, "A", "9" * 30)]
    videos = read_annotations(written(tmp_path, {"v": {"annotations": instances}}))
    assert class_names(videos) == ["1", "9", "10", "9" * 30, "A", "b"]


def test_written_annotations_read_the_same(tmp_path):
    for content in (ACTIVITYNET, FLAT, {'"\n/\ud800é': {"fps": 29.97, "annotations": []}}):
        videos = read_annotations(written(tmp_path, content))
        write_annotations(tmp_path / "again.json", videos, version="1")
        for video, again in zip(videos, read_annotations(tmp_path / "again.json"), strict=True):
            assert_same(video, again)


def test_ground_truth_takes_the_protocols_subset(tmp_path):
    videos = read_annotations(written(tmp_path, ACTIVITYNET))
    truth = ground_truth(videos, "activitynet")
    assert truth.video_ids == ["a"] and truth.labels == ["Skiing"]
    assert ground_truth(videos, "thumos14").video_ids == ["c"]
    assert ground_truth(videos, "thumos14", subset="TRAINING").video_ids == ["b"]
    assert ground_truth(read_annotations(written(tmp_path, FLAT)), "thumos14").video_ids == ["video_test_0000002"]
    with pytest.raises(InputError, match=r"'holdout'.*\['testing', 'training', 'validation'\]"):
        ground_truth(videos, "thumos14", subset="holdout")
    with pytest.raises(InputError, match="protocol 'ava' is unknown; expected one of thumos14, activitynet"):
        ground_truth(videos, "ava")


def test_ground_truth_in_columns_of_all_videos_without_subsets(tmp_path):
    content = {name: {**entry, "subset": None} for name, entry in ACTIVITYNET["database"].items()}
    content["a"].pop("duration")
    truth = ground_truth(read_annotations(written(tmp_path, content)), "thumos14")
    assert truth.video_ids == ["b", "a", "c"] and truth.labels == ["Archery", "Skiing"]
    np.testing.assert_array_equal(truth.duration_seconds, [50, np.nan, 9])
    np.testing.assert_array_equal(truth.video, [0, 0, 1])
    np.testing.assert_array_equal(truth.label, [1, 0, 1])
    np.testing.assert_array_equal(truth.segments, [[1.5, 20], [30, 51], [0, 2.5]])
    reordered = ground_truth(
        read_annotations(written(tmp_path, content)), "thumos14", labels=["Skiing", "Other", "Archery"]
    )
    np.testing.assert_array_equal(reordered.label, [0, 2, 0])


def test_ground_truth_refuses_an_unknown_label(tmp_path):
    with pytest.raises(InputError, match="video 'b': label 'Archery' is not one of the 1 classes"):
        ground_truth(read_annotations(written(tmp_path, ACTIVITYNET)), "thumos14", "training", labels=["Skiing"])
    empty = ground_truth([VideoAnnotation("v", (), np.zeros((0, 2)))], "thumos14")
    assert empty.segments.shape == (0, 2) and empty.label.shape == empty.video.shape == (0,)


def test_subset_of_videos_none_of_which_has_one():
    videos = [VideoAnnotation("v", (), np.zeros((0, 2)))]
    assert select_subset(videos, "thumos14") == videos
    with pytest.raises(InputError, match="annotations: no video names a subset, but --subset=test asks for one"):
        select_subset(videos, "thumos14", subset="test")


def test_subsets_are_found_in_any_case():
    videos = [VideoAnnotation(name, (), np.zeros((0, 2)), subset=name) for name in ("Test", "Validation")]
    assert [video.video_id for video in select_subset(videos, "thumos14")] == ["Test"]
    assert [video.video_id for video in select_subset(videos, "activitynet")] == ["Validation"]
    assert [video.video_id for video in select_subset(videos, "thumos14", subset="vaLidation")] == ["Validation"]


def with_instance(**instance: object) -> dict:
    return {"clip": {"duration": 10, "annotations": [{"segment": [1, 2], "label": "x"} | instance]}}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "annotations.json: the file is empty"),
        (b'{"a":\n "\xff"}', ":2: byte 0xff is not UTF-8"),
        ('{"a": {"annotations": [\n\n', r":3: not valid JSON .*; was it written completely\?"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a": ' + "9" * 5000 + "}", "not valid JSON"),
        ('{"v": {"annotations": []}, "v": {"annotations": []}}', "'v' occurs twice"),
        ("[1, 2]", r"found \[1, 2\], expected {'database'"),
        ("{}", "no videos"),
        ({"database": []}, "no videos"),
        ({"version": "1"}, "video 'version': found '1', expected an object with 'annotations'"),
        ({"version": "1", "results": {"v": []}}, r"holds detections \('results'\), expected annotations"),
        ({"v": {"annotations": {}}}, "video 'v': annotations is {}, expected a list"),
        ({"v": {"annotations": ["x"]}}, "video 'v': found 'x', expected {'segment'"),
        ({"v": {"annotations": [], "subset": 3}}, "video 'v': subset is 3"),
        ({"v": {"annotations": [], "duration": 0}}, "video 'v': duration is 0, expected a number of at least"),
        ({"v": {"annotations": [], "duration_second": -4}}, "video 'v': duration_second is -4"),
        ({"v": {"annotations": [], "duration_frame": 10.5}}, "duration_frame is 10.5, expected a whole number"),
        ({"v": {"annotations": [], "fps": "fast"}}, "video 'v': fps is 'fast'"),
        (with_instance(label=None), "video 'clip': label is None"),
        (with_instance(label=True), "video 'clip': label is True"),
        (with_instance(label=" "), "video 'clip': label is ' '"),
        (with_instance(segment=None), "video 'clip': segment is None"),
        (with_instance(segment=[1]), r"video 'clip': segment is \[1\]"),
        (with_instance(segment=[-1, 2]), "segment start is -1, expected seconds: a number from 0 to 100,000,000"),
        (with_instance(segment=[1, "two"]), "segment end is 'two'"),
        (with_instance(segment=[1, float("nan")]), "segment end is nan"),
        (with_instance(segment=["nan", 2]), "segment start is 'nan'"),
        (with_instance(segment=[1, 10**400]), "segment end is 10000"),
        (with_instance(segment=[1, "1e300"]), "segment end is '1e300'"),
        (with_instance(segment=[1, True]), "segment end is True"),
        (with_instance(segment=[1, [2]]), r"segment end is \[2\]"),
    ],
)
def test_bad_annotations_are_named(tmp_path, content, message):
    with pytest.raises(InputError, match=message) as error:
        read_annotations(written(tmp_path, content))
    assert "\n" not in str(error.value) and len(str(error.value)) < 500 and str(tmp_path) in str(error.value)


SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.sampled_from(["1", "2.5", 10**400])
)
KEYS = st.sampled_from(
    ["database", "annotations", "segment", "label", "duration", "fps", "subset", "v", "duration_frame"]
)
JSON = st.recursive(
    SCALARS, lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner)), max_leaves=8
)


def assert_reads_or_refuses(path: Path):
    try:
        videos = read_annotations(path)
        ground_truth(videos, "thumos14", subset=videos[0].subset)
    except InputError as error:
        assert "\n" not in str(error)
        return
    for video in videos:
        assert (np.diff(video.segments_seconds) > 0).all() and np.isfinite(video.segments_seconds).all()


@FUZZ
@given(st.one_of(st.binary(max_size=60), JSON.map(json.dumps).map(str.encode)))
def test_only_input_errors_escape_the_annotation_reader(tmp_path, content):
    assert_reads_or_refuses(written(tmp_path, content))


@FUZZ
@given(st.data())
def test_damaged_annotations_are_read_or_refused(tmp_path, data):
    content = json.loads(json.dumps(data.draw(st.sampled_from([ACTIVITYNET, FLAT]))))
    node, key = {"": content}, ""
    while isinstance(node[key], dict | list) and node[key] and data.draw(st.integers(0, 5)):
        node = node[key]
        key = data.draw(st.sampled_from(list(node) if isinstance(node, dict) else range(len(node))))
    node[key] = data.draw(JSON)
    assert_reads_or_refuses(written(tmp_path, content if key else node[key]))


@pytest.mark.parametrize("levels", [200, 300, 450, 900, 960, 980, 990, 1000, 1100])
def test_nesting_near_the_recursion_limit(tmp_path, levels):
    path = written(tmp_path, '{"v": {"annotations": [' + "[" * levels + "]" * levels + "]}}")
    with pytest.raises(InputError):
        read_annotations(path)


@pytest.fixture(scope="module")
def real_data() -> Path:
    path = Path(os.environ.get("CONTEXTLOC_DATA", "absent"))
    if not (path / "thumos14_annotations.json").exists():
        pytest.skip("CONTEXTLOC_DATA is unset, or lacks the THUMOS14 annotations")
    return path


def test_the_real_thumos14_annotations_are_read_whole(real_data, tmp_path):
    path, report = real_data / "thumos14_annotations.json", ReadReport()
    videos = read_annotations(path, report)
    text = path.read_text()
    assert len(videos) == len(re.findall(r'^    "video_', text, re.M)) == 413
    assert sum(len(video.labels) for video in videos) == text.count('"label"') == 6335
    assert not report.findings
    for subset, count in (("test", 213), ("validation", 200)):
        assert len(select_subset(videos, "thumos14", subset=subset)) == text.count(f'"video_{subset}_') == count
    labels = set(re.findall(r'"label": "(\w+)"', text))
    assert class_names(videos) == sorted(labels) and len(labels) == 20
    assert {video.fps for video in videos} == {10.0}
    assert [video.video_id for video in videos if not video.labels] == ["video_test_0001292"]
    truth = ground_truth(videos, "thumos14")
    assert len(truth.video_ids) == 213 and len(truth.labels) == 20
    write_annotations(tmp_path / "again.json", videos)
    for video, again in zip(videos, read_annotations(tmp_path / "again.json"), strict=True):
        assert_same(video, again)


def test_the_real_characteristics_file_is_ground_truth_too(real_data):
    path = real_data / "thumos14_test_characteristics.json"
    truth = ground_truth(read_annotations(path), "thumos14")
    assert len(truth.video_ids) == 212 and len(truth.video) == path.read_text().count('"label"') == 3358
    assert np.isnan(truth.duration_seconds).all()
