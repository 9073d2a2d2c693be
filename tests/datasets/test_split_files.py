"""Whatever the files of a split hold, reading them gives records that batches can be made of, or one InputError."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contextloc_jax.core.errors import InputError
from contextloc_jax.localization import alignment
from contextloc_jax.localization.alignment import align_by_bins
from input_pipeline.datasets.split_files import read_split
from input_pipeline.datasets.stored_features import StoredFeatures
from input_pipeline.formats.annotations import read_annotations
from input_pipeline.videos.timing import Timing
from tests.helpers.custom_files import write_dataset
from tests.helpers.fuzzing import in_one_folder
from tests.helpers.published import ALIGN, LENGTH, STRIDE
from tests.helpers.tiny_runs import CLASSES, WIDTH

TOKENS = [b"-1", b"nan", b"inf", b"1e400", b"0", b"9" * 30, b"#", b"{", b"]", b'"', b",", b"\n", b"\xff", b"\x00", b"",
          b'"segment": [5, 2]', b'"duration": 0', b'"fps": 1e-9', b"null", b"true"]  # fmt: skip


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    made = {}
    for form in ("list", "csv", "json"):
        folder = tmp_path_factory.mktemp(form)
        made[form] = write_dataset(folder, form)
    return made


def timing(num_bins: int = 0) -> Timing:
    """The tiny videos' own."""
    return Timing(25.0, STRIDE, LENGTH, num_bins)


def read(keys, timing: Timing):
    """As a build reads the test split; returns the snippets of every proposal."""
    path = keys.get("annotations")
    annotated = {video.video_id: video for video in read_annotations(path)} if path else {}
    names = CLASSES if path else ["1", "2"]
    split = read_split(keys["test_proposals"], keys["test_features"], names, annotated, timing)
    stored = StoredFeatures(split.features, WIDTH, timing.num_bins, "float32")
    align = align_by_bins() if timing.num_bins else ALIGN
    for record in split.records:
        assert record.num_frames > 0 and record.fps > 0
        assert (record.proposals >= 0).all() and (record.proposals <= record.num_frames).all()
        assert (record.proposals[:, 0] < record.proposals[:, 1]).all()
        assert (record.gt_segments[:, 0] < record.gt_segments[:, 1]).all()
        assert ((record.gt_labels > 0) & (record.gt_labels <= len(names))).all()
        features = stored(record)
        if features is not None:
            snippets = align(
                alignment.test_ticks(record.proposals, record.num_frames), record.num_frames, len(features)
            )
            assert ((snippets[..., 0] >= 0) & (snippets[..., 0] < len(features))).all()
    return split


@pytest.mark.parametrize("form", ["list", "csv", "json"])
@pytest.mark.parametrize("num_bins", [0, 10])
def test_undamaged_files_give_all_videos(folders, form, num_bins):
    assert len(read(folders[form], timing(num_bins)).records) == 2


@pytest.mark.parametrize("form, key", [("list", "test_proposals"), ("csv", "test_proposals"), ("csv", "annotations"),
                                       ("json", "test_proposals"), ("csv", "test_features")])  # fmt: skip
@settings(in_one_folder, max_examples=60)
@given(data=st.data())
def test_damaged_files_are_one_input_error_or_read(folders, form, key, data):
    keys = folders[form]
    path = Path(keys[key])
    path = path / "test_0.npy" if key == "test_features" else path
    whole = path.read_bytes()
    start = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.one_of(st.integers(start, min(len(whole), start + 30)), st.just(len(whole))))
    middle = data.draw(st.one_of(st.sampled_from(TOKENS), st.binary(max_size=20)))
    try:
        path.write_bytes(whole[:start] + middle + whole[end:])
        read(keys, timing(data.draw(st.sampled_from([0, 10]))))
    except InputError as error:
        assert "\n" not in str(error) and len(str(error)) < 2000
    finally:
        path.write_bytes(whole)


def test_a_single_array_is_no_features_of_all_videos(folders, tmp_path):
    np.save(tmp_path / "x.npy", np.ones((5, WIDTH)))
    with pytest.raises(InputError, match=r"x\.npy: holds one array"):
        read(folders["list"] | {"test_features": str(tmp_path / "x.npy")}, timing())
