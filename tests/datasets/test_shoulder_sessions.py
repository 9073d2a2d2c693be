"""The spliced sessions: every sample is real, every cut is where the record says, everything follows the seed."""

import importlib.util

import numpy as np
import pytest

from contextloc_jax.core.errors import InputError
from contextloc_jax.proposals.sliding_windows import sliding_windows
from input_pipeline.datasets import shoulder_sessions
from input_pipeline.datasets.data_report import proposal_recall
from input_pipeline.datasets.shoulder import WINDOWS
from input_pipeline.datasets.shoulder_sessions import ACTIONS, BACKGROUND, FPS, Composition, Standardizer

LEAVE_OUT_ROUNDING = {"rtol": 1e-9, "atol": 1e-9}


@pytest.fixture(scope="module")
def recordings():
    return shoulder_sessions.read_recordings(shoulder_sessions.recordings_file())


@pytest.fixture(scope="module")
def sessions(recordings):
    return shoulder_sessions.splice_sessions(recordings, range(1, 11), 0, Composition())


def test_recordings_are_one_for_each_person_side_and_exercise(recordings):
    expected = {(p, s, e) for p in range(1, 11) for s in (0, 1) for e in ACTIONS + BACKGROUND}
    assert set(recordings) == expected and len(expected) == 140
    lengths = [len(signal) for signal in recordings.values()]
    assert all(signal.shape == (len(signal), 6) for signal in recordings.values())
    assert min(lengths) >= 18 * FPS  # the longest bout


def test_every_person_and_side_has_four_sessions(sessions):
    assert len(sessions) == len({s.video_id for s in sessions}) == 80
    assert {s.video_id for s in sessions if s.group == "person07"} == {
        f"person07_{side}_{n}" for side in ("left", "right") for n in (1, 2, 3, 4)
    }


def test_a_session_is_a_plain_concatenation_of_real_cuts_of_its_person_and_side(sessions, recordings):
    for session in sessions:
        cuts = [
            recordings[session.person, session.side, exercise][first : first + length]
            for exercise, first, length in session.bouts
        ]
        assert [len(cut) for cut in cuts] == [length for _, _, length in session.bouts]
        np.testing.assert_array_equal(session.signal, np.concatenate(cuts))


def test_rounds_are_one_background_then_one_action_of_the_stated_lengths(sessions):
    for session in sessions:
        background, action = session.bouts[::2], session.bouts[1::2]
        assert 5 <= len(background) == len(action) <= 8
        assert all(exercise in BACKGROUND and 3 * FPS <= n <= 9 * FPS for exercise, _, n in background)
        assert all(exercise in ACTIONS and 4 * FPS <= n <= 18 * FPS for exercise, _, n in action)
    rounds = [len(session.gt_labels) for session in sessions]
    lengths = [n for session in sessions for _, _, n in session.bouts[1::2]]
    assert set(rounds) == {5, 6, 7, 8}
    assert min(lengths) < 5 * FPS and max(lengths) > 17 * FPS  # the whole range is used
    assert {exercise for session in sessions for exercise, _, _ in session.bouts} == set(ACTIONS + BACKGROUND)


def test_ground_truth_is_where_the_action_bouts_lie(sessions):
    for session in sessions:
        ends = np.cumsum([length for _, _, length in session.bouts])
        assert ends[-1] == len(session.signal)
        np.testing.assert_array_equal(session.gt_segments, np.stack([ends[::2], ends[1::2]], axis=1))
        assert [ACTIONS[label - 1] for label in session.gt_labels] == [e for e, _, _ in session.bouts[1::2]]


def test_a_session_depends_on_its_seed_and_name_only(sessions, recordings):
    (again,) = (
        s
        for s in shoulder_sessions.splice_sessions(recordings, [7], 0, Composition())
        if s.video_id == "person07_right_2"
    )
    (first,) = (s for s in sessions if s.video_id == again.video_id)
    assert first.bouts == again.bouts
    other_seed = shoulder_sessions.splice_session(recordings, 7, 1, 2, 1, Composition())
    assert other_seed.bouts != first.bouts
    assert len({s.bouts for s in sessions}) == len(sessions)


def test_side_one_of_the_file_is_the_right_arm(recordings):
    session = shoulder_sessions.splice_session(recordings, 3, 1, 1, 0, Composition())
    assert session.video_id == "person03_right_1"


@pytest.mark.parametrize(("frames", "snippets"), [(64, 1), (71, 1), (72, 2), (200, 18)])
def test_snippets_are_the_whole_windows_of_64_frames_every_8(frames, snippets):
    assert shoulder_sessions.snippet_statistics(np.zeros((frames, 6))).shape == (snippets, 120)


def test_snippet_statistics_of_a_known_wave():
    time = np.arange(128)
    signal = np.zeros((128, 6))
    signal[:, 2] = 5 + 3 * np.cos(2 * np.pi * 4 * time / 64)  # bin 4 of a 64-frame window
    statistics = shoulder_sessions.snippet_statistics(signal).reshape(-1, 6, 20)
    assert statistics.shape[0] == 9
    np.testing.assert_allclose(statistics[:, [0, 1, 3, 4, 5]], 0, atol=1e-12)
    mean, std, low, high = statistics[:, 2, :4].T
    np.testing.assert_allclose(mean, 5, **LEAVE_OUT_ROUNDING)
    np.testing.assert_allclose(std, 3 / np.sqrt(2), **LEAVE_OUT_ROUNDING)
    np.testing.assert_allclose(low, 2, **LEAVE_OUT_ROUNDING)
    np.testing.assert_allclose(high, 8, **LEAVE_OUT_ROUNDING)
    spectrum = np.zeros(16)
    spectrum[4 - 1] = 3 * 64 / 2
    np.testing.assert_allclose(statistics[:, 2, 4:], np.tile(spectrum, (9, 1)), atol=1e-9)


def test_a_snippet_reads_its_own_frames_only():
    rng = np.random.default_rng(0)
    signal = rng.standard_normal((300, 6))
    whole = shoulder_sessions.snippet_statistics(signal)
    for t in (0, 7, len(whole) - 1):
        own = shoulder_sessions.snippet_statistics(signal[8 * t : 8 * t + 64])
        np.testing.assert_allclose(whole[t], own[0], **LEAVE_OUT_ROUNDING)


def test_standardizer_uses_the_training_rows_and_projects_with_relu():
    rng = np.random.default_rng(0)
    training = [rng.normal(3, 2, (50, 120)), rng.normal(-1, 5, (70, 120))]
    standardizer = Standardizer.fit(training, width=32, projection_seed=5)
    rows = np.concatenate(training)
    projection = np.random.RandomState(5).standard_normal((120, 32)) / np.sqrt(120)
    other = rng.normal(0, 1, (9, 120))
    expected = np.maximum(((other - rows.mean(0)) / rows.std(0)) @ projection, 0)
    got = standardizer(other, "float32")
    assert got.dtype == np.float32 and (got == 0).any() and (got > 0).any()
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)


def test_standardizer_survives_a_constant_column():
    rows = np.ones((10, 120))
    assert np.isfinite(Standardizer.fit([rows], 8, 0)(rows, "float32")).all()


def test_sliding_windows_recall_nearly_every_action(sessions):
    pairs = [(s.gt_segments, sliding_windows(len(s.signal), FPS, **WINDOWS)) for s in sessions]
    at_half, at_seven, _ = proposal_recall(pairs)
    assert at_half == 1 and at_seven > 0.98


def test_absent_package_is_one_line_that_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"^[^\n]*pip install seglearn==1\.2\.5$"):
        shoulder_sessions.recordings_file()


def test_a_file_with_other_content_is_not_opened(tmp_path):
    path = tmp_path / "watch_dataset.npy"
    whole = shoulder_sessions.recordings_file().read_bytes()
    for content in (b"", whole[:1000], whole[:-1] + b"x"):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"^[^\n]*watch_dataset\.npy: [^\n]*pip install seglearn==1\.2\.5$"):
            shoulder_sessions.read_recordings(path)
