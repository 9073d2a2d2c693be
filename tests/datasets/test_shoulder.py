"""The shoulder dataset: splits by person, records of the spliced sessions, standardized features, batches."""

import numpy as np
import pytest

from configs import shoulder as shoulder_config
from contextloc_jax.commands.settings import read_settings
from contextloc_jax.proposals.sliding_windows import sliding_windows
from contextloc_jax.workdir.config_file import flatten
from input_pipeline.datasets import shoulder as shoulder_module
from input_pipeline.datasets import shoulder_sessions
from input_pipeline.datasets.shoulder_sessions import Composition
from input_pipeline.inputs import Inputs
from input_pipeline.videos.labels import label_proposals
from tests.helpers.shoulder_dataset import prepare_shoulder
from tests.helpers.video_records import opened


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
    settings = read_settings(flatten(shoulder_config.get_config()))
    inputs = Inputs(**settings.inputs._asdict())
    data = inputs.training_data(shoulder[1], hold_out)
    batches = inputs.train_batches(data, 0, 2 * inputs.steps_per_epoch(data.train))
    ((length, nodes),) = {(batch.features.shape[1], batch.segments.shape[1]) for _, batch in batches}
    assert length == 1024 and nodes < 168


def test_other_settings_are_another_dataset(shoulder):
    data_dir, builder = shoulder
    other = prepare_shoulder(data_dir, composition_seed=1)
    assert other.data_dir != builder.data_dir
    first, second = opened(builder, "test"), opened(other, "test")
    assert first.identity != second.identity
    assert first.records[0].num_frames != second.records[0].num_frames
