"""Files of scores: the same numbers after a round trip, the same bytes twice, and clear faults."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contextloc_jax.core.errors import InputError
from contextloc_jax.interchange.score_files import load_ground_truth, load_scores, save_scores
from tests.helpers.fuzzing import FUZZ
from tests.helpers.random_detections import ground_truth_of
from tests.helpers.scored_videos import scored_video

within_folder = settings(FUZZ, max_examples=60)


@within_folder
@given(st.binary(max_size=60))
def test_any_bytes_are_refused(tmp_path, content):
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(InputError):
        load_scores(tmp_path / "x.npz")


def test_scores_survive_with_their_precision(tmp_path):
    scores = [scored_video("a", seed=1), scored_video("b", proposals=[]), scored_video("c", seed=2, duration=1 / 3)]
    truth = ground_truth_of([(0, 0, (0, 10)), (1, 1, (2, 3))])
    save_scores(tmp_path / "scores.npz", scores, truth)
    for before, after in zip(scores, load_scores(tmp_path / "scores.npz"), strict=True):
        assert (before.video_id, before.duration_seconds) == (after.video_id, after.duration_seconds)
        for one, other in zip(before[2:], after[2:], strict=True):
            np.testing.assert_array_equal(one, other)
            assert one.dtype == other.dtype
    back = load_ground_truth(tmp_path / "scores.npz")
    assert (back.video_ids, back.labels) == (truth.video_ids, truth.labels)
    for field in ("duration_seconds", "video", "label", "segments"):
        np.testing.assert_array_equal(getattr(back, field), getattr(truth, field))


def test_scores_without_ground_truth(tmp_path):
    save_scores(tmp_path / "scores.npz", [scored_video()])
    assert load_ground_truth(tmp_path / "scores.npz") is None


def test_the_same_scores_give_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        save_scores(tmp_path / f"{name}.npz", [scored_video("a"), scored_video("b")])
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_damaged_scores_are_named(tmp_path):
    path = tmp_path / "scores.npz"
    save_scores(path, [scored_video()])
    whole = path.read_bytes()
    for keep in (0, 10, len(whole) // 2, len(whole) - 30):
        path.write_bytes(whole[:keep])
        with pytest.raises(InputError, match=r"scores\.npz"):
            load_scores(path)
    np.savez(path, other=np.zeros(3))
    with pytest.raises(InputError, match="holds no scores"):
        load_scores(path)
    with pytest.raises(InputError, match="no such file"):
        load_scores(tmp_path / "none.npz")


def test_objects_in_scores_are_never_unpickled(tmp_path):
    names = ("video_ids", "duration_seconds", "num_proposals", "proposals", "activity", "completeness", "regression")
    np.savez(tmp_path / "scores.npz", **{name: np.array([{}], object) for name in names})
    with pytest.raises(InputError, match="cannot be read as scores"):
        load_scores(tmp_path / "scores.npz")
