"""Features in the form in which a dataset stores them."""

import numpy as np
import pytest

from contextloc_jax.core.errors import InputError
from input_pipeline.datasets.split_files import FeatureFiles
from input_pipeline.datasets.stored_features import StoredFeatures, as_stored
from tests.helpers.custom_files import built_dataset, write_dataset
from tests.helpers.tiny_runs import tiny_video
from tests.helpers.video_records import make_record, opened


def test_features_are_stored_as_configured(tmp_path):
    keys = write_dataset(tmp_path)
    source = opened(built_dataset(tmp_path, keys, feature_dtype="float16"), "test")
    features = tiny_video("test_0")[1]
    np.testing.assert_array_equal(source.features(0), features.astype(np.float16), strict=True)
    source = opened(built_dataset(tmp_path, keys, num_bins=5), "test")
    assert source.num_snippets.tolist() == [5, 5]
    np.testing.assert_allclose(source.features(0)[2], features[19:21].mean(axis=0), rtol=1e-6)


def test_features_come_in_the_type_of_the_dataset_or_in_bins():
    features = np.arange(12, dtype=np.float32).reshape(6, 2)
    np.testing.assert_array_equal(as_stored(features, 0, "float32", "here"), features, strict=True)
    np.testing.assert_array_equal(as_stored(features, 0, "float16", "here"), features.astype(np.float16), strict=True)
    binned = as_stored(features, 3, "float16", "here")
    assert binned.shape == (3, 2) and binned.dtype == np.float16
    assert np.all(np.diff(binned, axis=0) > 0) and binned.min() >= 0 and binned.max() <= 11


@pytest.mark.parametrize("value, fits", [(65504, True), (-65504, True), (65536, False), (-1e30, False)])
def test_values_that_float16_cannot_hold_are_one_line_that_says_what_to_set(value, fits):
    features = np.full((2, 3), value, np.float32)
    if fits:
        assert (as_stored(features, 0, "float16", "here") == value).all()
        return
    with pytest.raises(InputError, match=r"^here do not fit float16; set --config\.data\.feature_dtype=float32$"):
        as_stored(features, 0, "float16", "here")


def stored(folder, array, **changes) -> np.ndarray | None:
    """What is stored of a video's file of features."""
    np.save(folder / "v.npy", array)
    settings = {"width": array.shape[1], "num_bins": 0, "dtype": "float32"} | changes
    return StoredFeatures(FeatureFiles(str(folder)), **settings)(make_record("v"))


def test_the_features_of_a_video_are_read_from_its_file(tmp_path):
    array = np.random.default_rng(0).standard_normal((7, 4))
    np.testing.assert_array_equal(stored(tmp_path, array), array.astype(np.float32), strict=True)
    assert stored(tmp_path, array, num_bins=5).shape == (5, 4)


def test_features_that_are_not_finite_are_none_and_others_that_cannot_be_are_one_line(tmp_path):
    for value in (np.nan, np.inf):
        assert stored(tmp_path, np.full((3, 4), value)) is None
    with pytest.raises(InputError, match=r"^[^\n]*features of video 'v' do not fit float16[^\n]*$"):
        stored(tmp_path, np.full((3, 4), 1e6), dtype="float16")
    with pytest.raises(InputError, match=r"^[^\n]*shape \(3, 4\), expected \[snippets, 8\][^\n]*$"):
        stored(tmp_path, np.ones((3, 4)), width=8)
