"""Feature files: every format and layout, dtypes, and everything that a feature file can be instead."""

import io
import os
import pickle
import struct
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contextloc_jax.core.errors import InputError
from input_pipeline.formats.features import feature_videos, find_features, read_features
from tests.helpers.fuzzing import LONG_FUZZ
from tests.helpers.paths import FIXTURES as FIXTURE_FILES

TENSORS = FIXTURE_FILES / "tensors"
X = np.arange(12, dtype=np.float32).reshape(3, 4) / 8


def npy(array: np.ndarray, **options: object) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, **options)
    return buffer.getvalue()


def npz(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def hdf5(content: dict[str, object]) -> bytes:
    """An HDF5 file; a dict within is a group, other values are datasets."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        for name, value in content.items():
            if isinstance(value, dict):
                for inner, array in value.items():
                    file[f"{name}/{inner}"] = array
                file.require_group(name)
            else:
                file[name] = value
    return buffer.getvalue()


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.fixture
def folder(tmp_path) -> Path:
    """One video in every format; v1 to v3 as P-GCN's release has them, bare."""
    for name, fixture in (
        ("v1", "tensor_zip"),
        ("v2", "tensor_legacy"),
        ("v.3", "tensor_zip"),
        ("v4.pt", "tensor_bfloat16.pt"),
    ):
        written(tmp_path / name, (TENSORS / fixture).read_bytes())
    written(tmp_path / "v5.npy", npy(X))
    written(tmp_path / "v6.npz", npz(anything=X))
    written(tmp_path / "v7.npz", npz(features=X, fps=np.array(25)))
    written(tmp_path / "v8.npz", npz(v8=X, features=X[:1]))
    written(tmp_path / "v9.h5", hdf5({"features": X, "times": X[:1]}))
    written(tmp_path / "v10.hdf5", hdf5({"v10": {"c3d": X}}))
    written(tmp_path / ".hidden", b"")
    (tmp_path / "folder.npy").mkdir()
    return tmp_path


VIDEOS = ["v1", "v2", "v.3", "v4", "v5", "v6", "v7", "v8", "v9", "v10"]


@pytest.mark.parametrize("video_id", VIDEOS)
def test_a_folder_may_hold_every_format(folder, video_id):
    features = read_features(folder, video_id, width=4)
    np.testing.assert_array_equal(features, X)
    assert features.dtype == (np.float16 if video_id == "v2" else np.float32)
    np.testing.assert_array_equal(read_features(find_features(folder, video_id)), X)


def test_the_videos_of_a_folder(folder):
    assert feature_videos(folder) == sorted(VIDEOS)
    assert find_features(folder, "v5").name == "v5.npy"
    for absent in ("v11", "folder", "", ".", "..", "../v1", "a\0", "\ud800", "v" * 300):
        assert find_features(folder, absent) is None
    with pytest.raises(InputError, match=r"no features of video 'v11': .*bare or with .npy, .*there are \['v.3', 'v1'"):
        read_features(folder, "v11")
    written(folder / "v1.npy", npy(X))
    with pytest.raises(InputError, match=r"video 'v1' has two files, v1 and v1\.npy"):
        read_features(folder, "v1")


def test_one_file_for_all_videos(tmp_path):
    for data in (
        npz(a=X, b=X[:2]),
        hdf5({"a": X, "b": {"features": X[:2], "times": X}}),
        hdf5({"a": {"only": X}, "b": X[:2]}),
    ):
        path = written(tmp_path / "all", data)
        assert feature_videos(path) == ["a", "b"]
        np.testing.assert_array_equal(read_features(path, "a"), X)
        np.testing.assert_array_equal(read_features(path, "b"), X[:2])
        with pytest.raises(
            InputError, match=r"all: video 'c': not among the 2 videos of the file \(such as \['a', 'b'\]\)"
        ):
            read_features(path, "c")
    assert feature_videos(TENSORS / "dict_zip.pt") == ["count", "flow", "rgb"]
    np.testing.assert_array_equal(read_features(TENSORS / "dict_zip.pt", "flow"), X[1:].T)


def test_a_single_array_is_not_taken_for_every_video(tmp_path):
    for path in (written(tmp_path / "a.npy", npy(X)), TENSORS / "tensor_zip"):
        with pytest.raises(InputError, match="video 'a': the file holds one array, not one per video: give the folder"):
            read_features(path, "a")
        with pytest.raises(InputError, match="holds one array"):
            feature_videos(path)
    with pytest.raises(InputError, match="video 'a': not among the 1 videos"):
        read_features(written(tmp_path / "one.h5", hdf5({"b": X})), "a")


@pytest.mark.parametrize("dtype", [np.float16, ">f4", np.float64, np.int64, np.uint8, ">f2"])
@pytest.mark.parametrize("layout", ["C", "F"])
def test_dtypes(tmp_path, dtype, layout):
    stored = np.asarray(X * 8, dtype=dtype, order=layout)
    features = read_features(written(tmp_path / "v", npy(stored)))
    np.testing.assert_array_equal(features, X * 8)
    assert features.dtype == (np.float16 if dtype == np.float16 else np.float32)
    assert features.dtype.isnative and features.flags.c_contiguous


def test_non_finite_values_are_named_by_snippet(tmp_path):
    for bad in (np.nan, np.inf, 1e300):
        stored = X.astype(np.float64)
        stored[1, 2] = bad
        path = written(tmp_path / "v", npy(stored))
        with pytest.raises(InputError, match="v: NaN or infinite features, first in snippet 1"):
            read_features(path)
        assert not np.isfinite(read_features(path, check_finite=False)[1, 2])


class RunsCode:
    def __init__(self, marker: Path):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


def test_pickles_inside_numpy_files_are_refused_and_not_run(tmp_path):
    marker = tmp_path / "marker"
    array = np.array([[RunsCode(marker)]], dtype=object)
    for data in (npy(array), npz(features=array), pickle.dumps(RunsCode(marker))):
        with pytest.raises(InputError, match="v: "):
            read_features(written(tmp_path / "v", data))
    assert not marker.exists()


def zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def hdf5_of_shape(shape: tuple[int, ...]) -> bytes:
    """Chunked, so that nothing is stored."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.create_dataset("features", shape, "f4", chunks=(1,) * len(shape))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the file is empty"),
        (b"1.0,2.0\n3.0,4.0\n", r"starts with b'1.0,2.0\\n', expected a .npy, .npz, HDF5 or torch"),
        (npy(X[0]), r"shape \(4,\), expected \[snippets, feature width\]"),
        (npy(X[None]), r"shape \(1, 3, 4\), expected"),
        (npy(X[:0]), r"shape \(0, 4\), expected"),
        (npy(X[:, :0]), r"shape \(3, 0\), expected"),
        (npy(X[:, :3]), r"shape \(3, 3\), expected \[snippets, 4\]"),
        (npy(X > 0), "values of type bool"),
        (npy(X.astype(complex)), "values of type complex128"),
        (npy(np.array([["a"]])), "values of type <U1"),
        (npy(X)[:-1], "was it written completely"),
        (npy(X)[:50], "was it written completely"),
        (npy(X)[:8], "was it written completely"),
        (npy(X).replace(b"(3, 4)", b"(3,-4)"), "was it written completely"),
        (npy(X).replace(b"(3, 4), }        ", b"(99999999999, 4)}"), "was it written completely"),
        (npy(X).replace(b"(3, 4), }" + b" " * 48, b"(" * 57), "was it written completely"),
        (npz(features=X)[:-30], "was it written completely"),
        (npz(a=X, b=X), r"holds 2 arrays \['a', 'b'\], expected one, or one called 'features'"),
        (zipped({}), "holds 0 arrays"),
        (zipped({"features": b"no array"}), "values of type .S8"),
        (zipped({"a/data.pkl": b"", "b/data.pkl": b""}), "without data.pkl"),
        (hdf5({}), "holds 0 arrays"),
        (hdf5({"a": X, "b": X}), "holds 2 arrays"),
        (hdf5({"features": {}}), "holds 0 arrays"),
        (hdf5({"features": np.array(1.0)}), r"shape \(\)"),
        (hdf5({"features": "text"}), "values of type .S4"),
        (hdf5({"features": h5py.SoftLink("/nowhere")}), "cannot be read as features"),
        (hdf5({"features": h5py.ExternalLink("/nowhere", "/a")}), "cannot be read as features"),
        (hdf5({"features": X})[:-100], "was it written completely"),
        (hdf5_of_shape((1 << 40, 1 << 20)), "expected features of one video"),
        (struct.pack("8s", b"\x89HDF\r\n\x1a\n"), "was it written completely"),
    ],
)
def test_bad_feature_files_are_named(tmp_path, data, message):
    with pytest.raises(InputError, match=message) as error:
        read_features(written(tmp_path / "video.npy", data), width=4)
    assert "\n" not in str(error.value) and "video.npy" in str(error.value) and len(str(error.value)) < 500


def test_missing_paths_are_named(tmp_path):
    for path, video_id in ((tmp_path / "none", None), (tmp_path / "none", "v"), (tmp_path, None), ("a\0", None)):
        with pytest.raises(InputError, match="cannot be read"):
            read_features(path, video_id)
    with pytest.raises(InputError, match="no features of video 'v'"):
        read_features(tmp_path, "v")


GOOD = [npy(X), npz(features=X), hdf5({"features": X}), hdf5({"v": {"a": X}})]


@LONG_FUZZ
@given(st.sampled_from(GOOD), st.data())
def test_damaged_files_are_read_or_refused(tmp_path, good, data):
    content = bytearray(good)
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(content)))
        content[start : start + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    path = written(tmp_path / "v", bytes(content))
    for read in (read_features, lambda path: read_features(path, "v"), feature_videos):
        try:
            features = read(path)
        except InputError as error:
            assert "\n" not in str(error)
        else:
            assert isinstance(features, list) or (features.ndim == 2 and np.isfinite(features).all())
