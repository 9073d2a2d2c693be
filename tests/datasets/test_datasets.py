"""Examples keep a record exactly; a build is found again, keyed by its inputs, and never half there."""

import dataclasses
import fcntl
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from configs import shoulder as shoulder_config
from contextloc_jax.commands.settings import read_settings
from contextloc_jax.core.errors import InputError
from contextloc_jax.proposals.sliding_windows import sliding_windows
from contextloc_jax.workdir.config_file import flatten
from input_pipeline.datasets import data_report, prepare, registry, shoulder_sessions
from input_pipeline.datasets import shoulder as shoulder_module
from input_pipeline.datasets.builder import (
    Contents,
    VideoDatasetBuilder,
    VideoDatasetConfig,
    example_spec,
    inputs_key,
)
from input_pipeline.datasets.shoulder_sessions import Composition
from input_pipeline.inputs import Inputs
from input_pipeline.videos.labels import label_proposals
from tests.helpers.published import data_settings
from tests.helpers.video_records import make_features, make_record, opened


class Tiny(VideoDatasetBuilder):
    """Writes the videos it is given; a video that is an exception is raised instead."""

    videos: tuple = ()

    def make_contents(self):
        def iterate():
            for video in self.videos:
                if isinstance(video, BaseException):
                    raise video
                yield video

        return Contents(splits={"train": (len(self.videos), iterate)})


def tiny_builder(data_dir, videos, feature_dtype="float16") -> Tiny:
    config = VideoDatasetConfig(name="tiny", feature_width=4, feature_dtype=feature_dtype, class_names=("a", "b", "c"))
    builder = Tiny(data_dir=str(data_dir), config=config, file_format="array_record")
    builder.videos = videos
    return builder


def prepare_shoulder(data_dir, width: int = 16, **changes):
    """The shoulder dataset with fewer columns, which is quicker."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shoulder_module, "FEATURE_WIDTH", width)
        return prepare("shoulder", data_dir, data_settings(**changes))


def assert_records_equal(got, expected):
    for field in dataclasses.fields(expected):
        left, right = getattr(got, field.name), getattr(expected, field.name)
        if isinstance(right, np.ndarray):
            assert left.dtype == right.dtype, field.name
            np.testing.assert_array_equal(left, right, err_msg=field.name, strict=True)
        else:
            assert left == right, field.name


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_examples_keep_every_field_exactly(tmp_path, dtype):
    rng = np.random.default_rng(0)
    records = [
        make_record("a", group="person01"),
        dataclasses.replace(make_record("b", group="g"), proposal_scores=rng.random(60), fps=29.970029970029973),
        make_record("no proposals", num_proposals=0, group="x"),
        make_record("vidéo/ 視頻", num_instances=0, group="y"),
        dataclasses.replace(make_record("d", num_proposals=0, group="z"), proposal_scores=np.zeros(0)),
    ]
    features = [rng.standard_normal((t, 4)).astype(dtype) for t in (1, 50, 7, 33, 2)]
    builder = tiny_builder(tmp_path, list(zip(records, features, strict=True)), feature_dtype=dtype)
    builder.download_and_prepare()
    source = opened(builder, "train")
    assert [r.video_id for r in source.records] == sorted(r.video_id for r in records)
    assert source.class_names == ["a", "b", "c"]
    assert source.feature_width == 4 and source.feature_dtype == dtype
    for index, got in enumerate(source.records):
        position = [r.video_id for r in records].index(got.video_id)
        assert_records_equal(got, records[position])
        np.testing.assert_array_equal(source.features(index), features[position], strict=True)
        assert source.num_snippets[index] == len(features[position])


def test_a_record_without_group_is_its_own_group(tmp_path):
    builder = tiny_builder(tmp_path, [(make_record("a"), make_features(5))])
    builder.download_and_prepare()
    assert opened(builder, "train").records[0].group == "a"


def test_a_build_that_breaks_leaves_no_dataset_and_the_next_one_finishes(tmp_path):
    good = (make_record("a"), make_features(5))
    for failure in (InputError("x.npy: expected [T, 4]"), KeyboardInterrupt()):
        with pytest.raises(type(failure)) as raised:
            tiny_builder(tmp_path, [good, failure]).download_and_prepare()
        assert str(raised.value).endswith(str(failure)) and "\n" not in str(raised.value)
        assert not Path(tiny_builder(tmp_path, []).data_dir).exists()
    builder = tiny_builder(tmp_path, [good])
    builder.download_and_prepare()
    assert len(opened(builder, "train")) == 1


def test_unknown_feature_dtype_is_named():
    with pytest.raises(InputError, match="feature_dtype is 'float64'"):
        example_spec(4, "float64")


def test_inputs_key_depends_on_values_not_on_order():
    assert inputs_key({"a": 1, "b": [2]}) == inputs_key({"b": [2], "a": 1})
    assert inputs_key({"a": 1}) != inputs_key({"a": 2})


@pytest.fixture(scope="module")
def shoulder(tmp_path_factory):
    data_dir = tmp_path_factory.mktemp("data")
    return data_dir, prepare_shoulder(data_dir)


def test_shoulder_splits_are_by_person(shoulder):
    _, builder = shoulder
    train, test = opened(builder, "train"), opened(builder, "test")
    assert len(train) == 56 and len(test) == 24
    assert {r.group for r in train.records} == {f"person{p:02d}" for p in range(1, 8)}
    assert {r.group for r in test.records} == {"person08", "person09", "person10"}
    assert train.class_names == ["PEN", "ABD", "FEL", "IR", "ER"]
    assert all(r.fps == 50 for r in train.records)


def test_shoulder_records_are_the_spliced_sessions(shoulder):
    _, builder = shoulder
    recordings = shoulder_sessions.read_recordings(shoulder_sessions.recordings_file())
    sessions = shoulder_sessions.splice_sessions(recordings, range(8, 11), 0, Composition())
    records = {r.video_id: r for r in opened(builder, "test").records}
    for session in sessions:
        record = records[session.video_id]
        assert record.num_frames == len(session.signal)
        np.testing.assert_array_equal(record.gt_segments, session.gt_segments)
        np.testing.assert_array_equal(record.gt_labels, session.gt_labels)
        windows = sliding_windows(record.num_frames, 50, **shoulder_module.WINDOWS)
        np.testing.assert_array_equal(record.proposals, windows)
        expected = label_proposals(windows, record.gt_segments, record.gt_labels, record.num_frames)
        got = (
            record.proposal_labels, record.proposal_tiou, record.proposal_overlap_self, record.proposal_coverage
        )  # fmt: skip
        for left, right in zip(got, expected, strict=True):
            np.testing.assert_array_equal(left, right)


def test_shoulder_features_are_standardized_on_the_training_people_only(shoulder):
    _, builder = shoulder
    recordings = shoulder_sessions.read_recordings(shoulder_sessions.recordings_file())

    def statistics(people):
        sessions = shoulder_sessions.splice_sessions(recordings, people, 0, Composition())
        return {s.video_id: shoulder_sessions.snippet_statistics(s.signal) for s in sessions}

    training = statistics(range(1, 8))
    rows = np.concatenate(list(training.values()))
    test = opened(builder, "test")
    raw = statistics(range(8, 11))
    # The projection is whatever made the training features; what is checked is the standardization before it.
    positive, projection = _projection_of(opened(builder, "train"), training, rows)
    for index in (0, 11, 23):
        expected = np.maximum((raw[test.records[index].video_id] - rows.mean(0)) / rows.std(0) @ projection, 0)
        np.testing.assert_allclose(test.features(index)[:, positive], expected, rtol=1e-3, atol=1e-4)


def _projection_of(train, training, rows):
    """Solves for columns of the projection from the entries that relu let through."""
    standard = np.concatenate([(training[r.video_id] - rows.mean(0)) / rows.std(0) for r in train.records])
    features = np.concatenate([train.features(i) for i in range(len(train))])
    standard, features = standard[::20], features[::20]  # two thousand rows determine 120 unknowns
    columns = [0, 5, 15]
    solved = [np.linalg.lstsq(standard[features[:, c] > 0], features[features[:, c] > 0, c])[0] for c in columns]
    return columns, np.stack(solved, axis=1)


@pytest.mark.parametrize("hold_out", [True, False])
def test_shoulder_trains_with_batches_of_one_shape(shoulder, hold_out):
    inputs = Inputs(**read_settings(flatten(shoulder_config.get_config())).inputs._asdict())
    data = inputs.training_data(shoulder[1], hold_out)
    batches = inputs.train_batches(data, 0, 2 * inputs.steps_per_epoch(data.train))
    ((length, nodes),) = {(batch.features.shape[1], batch.segments.shape[1]) for _, batch in batches}
    assert length == 1024 and nodes < 168


def test_prepare_finds_the_finished_dataset_and_its_report(shoulder, capsys):
    data_dir, builder = shoulder
    builder.report()
    before = {p: p.stat().st_mtime_ns for p in Path(builder.data_dir).iterdir()}
    assert any("array_record" in p.name for p in before)
    again = prepare_shoulder(data_dir)
    assert {p: p.stat().st_mtime_ns for p in Path(again.data_dir).iterdir()} == before
    lines = data_report.summary_lines(again.report())
    assert capsys.readouterr() == ("", "")
    assert [line.split(":")[0] for line in lines] == ["shoulder train", "shoulder test"]
    assert all("recall at tIoU 0.5/0.7/0.9 1.000/" in line for line in lines)


def test_other_settings_are_another_dataset(shoulder):
    data_dir, builder = shoulder
    other = prepare_shoulder(data_dir, composition_seed=1)
    assert other.data_dir != builder.data_dir
    first, second = opened(builder, "test"), opened(other, "test")
    assert first.identity != second.identity
    assert first.records[0].num_frames != second.records[0].num_frames


def test_prepare_shows_progress_on_stderr(tmp_path, capsys):
    prepare_shoulder(tmp_path, 8)
    assert "prepare shoulder 80/80  " in capsys.readouterr().err


PREPARE = (
    "import sys; from tests.datasets.test_datasets import opened, prepare_shoulder; "
    "builder = prepare_shoulder(sys.argv[1], 8); "
    "print(len(opened(builder, 'test')), builder.report()['dataset'])"
)


def test_of_processes_that_prepare_at_once_one_builds_and_the_others_find_it(tmp_path):
    started = [
        subprocess.Popen([sys.executable, "-c", PREPARE, tmp_path], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(3)
    ]
    said = [tuple(stream.decode() for stream in process.communicate()) for process in started]
    assert [out for out, _ in said] == ["24 shoulder\n"] * 3, said
    assert sum("prepare shoulder 80/80  " in err for _, err in said) == 1
    folder = Path(prepare_shoulder(tmp_path, 8).data_dir)
    assert folder.is_dir() and not [path for path in tmp_path.rglob("*") if path.suffix in (".lock", ".partial")]
    assert not list(folder.parent.glob("incomplete*"))


def test_a_lock_that_another_process_holds_is_waited_for(tmp_path, capsys):
    with (tmp_path / "shoulder.lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with ThreadPoolExecutor() as pool:
            waiting = pool.submit(prepare_shoulder, tmp_path, 8)
            deadline = time.monotonic() + 60
            while "another process builds it; waiting" not in (said := capsys.readouterr().err):
                assert time.monotonic() < deadline and not said
                time.sleep(0.02)
            assert not (tmp_path / "shoulder").exists()
            fcntl.flock(file, fcntl.LOCK_UN)
            assert len(opened(waiting.result(), "test")) == 24


def test_a_finished_dataset_is_found_where_nothing_can_be_written(shoulder, monkeypatch):
    data_dir, built = shoulder
    monkeypatch.setattr(registry, "_alone", None)
    assert prepare_shoulder(data_dir).data_dir == built.data_dir


def test_wrong_inputs_of_prepare_are_one_line(tmp_path, monkeypatch):
    with pytest.raises(InputError, match=r"^config\.data\.dataset is 'sholder'; expected one of .*shoulder"):
        prepare("sholder", tmp_path, data_settings())
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(InputError, match=r"^config\.data\.data_dir=[^\n]*cannot write there[^\n]*$"):
        prepare("shoulder", file / "data", data_settings())
    monkeypatch.setattr(shoulder_sessions.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install seglearn==1\.2\.5$"):
        prepare("shoulder", tmp_path, data_settings())
