"""One video from arrays: what files of the same content would give, and what is refused."""

from pathlib import Path

import numpy as np
import pytest

from contextloc_jax.core.errors import InputError
from input_pipeline.datasets.from_arrays import record_of_arrays, stored_features
from input_pipeline.formats.proposal_tables import read_proposal_csv
from tests.helpers.custom_files import TIMES, built_dataset, write_dataset
from tests.helpers.published import data_settings
from tests.helpers.video_records import opened

DATA = data_settings(**TIMES)
SECONDS = np.array([[0.5, 2.0], [1.0, 9.0]])


def record(proposals=SECONDS, num_snippets=40, fps=None, duration_seconds=None, **changes):
    return record_of_arrays("v", num_snippets, proposals, data_settings(**TIMES | changes), fps, duration_seconds)


@pytest.mark.parametrize("num_bins", [0, 5])
def test_arrays_give_what_files_of_the_same_content_give(tmp_path, num_bins):
    keys = write_dataset(tmp_path, "csv", annotated=False)
    own = {name: keys[name] for name in ("num_classes", "test_features", "test_proposals")}
    if num_bins:
        own["annotations"] = durations_alone(tmp_path, seconds=15.0)
    source = opened(built_dataset(tmp_path, own, need_ground_truth=False, num_bins=num_bins), "test")
    data = DATA | {"num_bins": num_bins}
    for index, proposals in enumerate(read_proposal_csv(keys["test_proposals"])):
        features = np.load(Path(keys["test_features"]) / f"{proposals.video_id}.npy")
        found = record_of_arrays(
            proposals.video_id, len(features), proposals.segments_seconds, data, None, 15.0 if num_bins else None
        )
        expected = source.records[index]
        for name in ("video_id", "num_frames", "fps", "proposals", "gt_segments", "proposal_coverage"):
            np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), name)
        np.testing.assert_array_equal(stored_features(features, data, "v"), source.features(index), strict=True)


def durations_alone(folder: Path, seconds: float) -> str:
    """Annotations that say how long the test videos are and nothing else."""
    videos = ", ".join(f'"test_{i}": {{"duration": {seconds}, "annotations": []}}' for i in range(2))
    (folder / "durations.json").write_text(f'{{"database": {{{videos}}}}}')
    return str(folder / "durations.json")


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ({}, (8 * 39 + 64, 25.0)),  # as long as the snippets, at the rate of the settings
        ({"fps": 50.0}, (8 * 39 + 64, 50.0)),
        ({"duration_seconds": 12.0}, (300, 25.0)),
        ({"fps": 30.0, "duration_seconds": 12.0}, (360, 30.0)),
    ],
)
def test_the_length_of_a_video_and_its_frame_rate(times, expected):
    found = record(**times)
    assert (found.num_frames, found.fps) == expected


def test_proposals_outside_the_video_are_left_out_and_there_may_be_none():
    found = record([[1.0, 2.0], [3.0, 3.001], [500.0, 501.0], [4.0, 500.0]], duration_seconds=12.0)
    assert found.proposals.tolist() == [[25, 50], [100, 300]] and found.proposal_scores is None
    assert record(np.zeros((0, 2))).proposals.shape == (0, 2)


@pytest.mark.parametrize(
    ("given", "stored"), [("float16", "float32"), ("float64", "float32"), ("int64", "float32"), ("uint8", "float16")]
)
def test_features_of_any_numbers_are_stored_as_the_settings_say(given, stored):
    features = np.arange(6).reshape(3, 2).astype(given)
    found = stored_features(features, DATA | {"feature_dtype": stored}, "v")
    np.testing.assert_array_equal(found, features.astype(stored), strict=True)


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (np.zeros((0, 4)), r"v: features are float64 \(0, 4\); expected numbers \[snippets, width\]"),
        (np.zeros((2, 4), bool), r"v: features are bool \(2, 4\)"),
        (np.zeros((2, 3, 4)), r"v: features are float64 \(2, 3, 4\)"),
        ([[1.0, 2.0], [3.0, np.inf]], "v: NaN or infinite features, first in snippet 1"),
        ([[1e5, 0.0]], "v: features do not fit float16; set --config.data.feature_dtype=float32"),
        ([[0.0, 0.0], [1e39, 0.0]], "v: NaN or infinite features, first in snippet 1"),  # as of files: read as float32
    ],
)
def test_features_that_cannot_be_are_one_line(features, message):
    with pytest.raises(InputError, match=rf"^{message}[^\n]*$"):
        stored_features(features, DATA | {"feature_dtype": "float16"}, "v")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"proposals": [1.0, 2.0]}, r"proposals_seconds are \(2,\); expected finite numbers \[N, 2\]"),
        ({"proposals": [[1.0, 2.0, 3.0]]}, r"proposals_seconds are \(1, 3\)"),
        ({"proposals": [[0, 1], [2, 1]]}, r"proposal 1 is \[2.0, 1.0\]; expected 0 <= start <= end in seconds"),
        ({"proposals": [[-1, 1]]}, r"proposal 0 is \[-1.0, 1.0\]"),
        ({"fps": -25.0}, "fps is -25.0; expected a number above 0"),
        ({"duration_seconds": np.nan}, "duration_seconds is nan; expected a number above 0"),
        ({"num_bins": 100}, "give duration_seconds, because features are rescaled to bins over the whole video"),
    ],
)
def test_proposals_and_times_that_cannot_be_are_one_line(change, message):
    with pytest.raises(InputError, match=rf"^video 'v': {message}[^\n]*$"):
        record(**change)
