"""Snippet features from files: .npy, .npz, torch tensors (without torch) and HDF5.

Two layouts: a folder with one file per video, named by the video id with or without suffix (P-GCN's release: without),
or one file for all videos with one key per video (HDF5, .npz, a torch dict). The first bytes of a file show which kind
it is. If the file of one video has several arrays, the array that is called like the video or "features" is read.
"""

import contextlib
import itertools
import os
import zipfile
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from contextloc_jax.core.errors import InputError, excerpt
from contextloc_jax.core.files import read_bytes
from input_pipeline.formats.torch_tensors import TensorFile

SUFFIXES = ("", ".npy", ".npz", ".pt", ".pth", ".h5", ".hdf5")
MAX_BYTES = 2**33  # of one video; if there are more, the header is damaged
_HDF5 = b"\x89HDF\r\n\x1a\n"
_Read = Callable[[str | None], np.ndarray]  # name -> array; the name is None if the file is a single array
_Result = TypeVar("_Result")


def read_features(
    path: str | os.PathLike, video_id: str | None = None, width: int | None = None, check_finite: bool = True
) -> np.ndarray:
    """Features [T, D] of one video: float16 if the file has float16, else float32.

    path: with `video_id`, a folder or a file for all videos; without it, the file of one video. width: the expected D.
    InputError, with file and video: there is no such file or key, or two files of that name; the file is damaged; the
    array has not two dimensions, no snippets or another width; or (check_finite) a value is NaN or infinite.
    """
    if video_id is not None and not os.path.isdir(path):
        where = f"{path}: video {excerpt(video_id)}"
        features = _with_arrays(Path(path), lambda names, read: read(_shared_name(names, video_id, where)))
    else:
        file = Path(path) if video_id is None else find_features(path, video_id)
        if file is None:
            raise InputError(f"{path}: no features of video {excerpt(video_id)}: {_hint(path)}")
        where = str(file)
        features = _with_arrays(file, lambda names, read: read(_own_name(names, file.name, where)))
    features = _checked(features, where, width)
    if check_finite:
        check_all_finite(features, where)
    return features


def as_float(features: np.ndarray) -> np.ndarray:
    """float16 stays; other numbers become float32. In C order and native bytes."""
    dtype = np.float16 if features.dtype == np.float16 else np.float32
    with np.errstate(over="ignore"):  # a value that overflows float32 becomes infinite and is found later
        return np.ascontiguousarray(features, dtype)


def check_all_finite(features: np.ndarray, where: str) -> None:
    """InputError, beginning with `where`: a value of features [T, D] is NaN or infinite."""
    if not np.isfinite(features).all():
        snippet = int(np.argmin(np.isfinite(features).all(axis=1)))
        raise InputError(f"{where}: NaN or infinite features, first in snippet {snippet}: extract them again")


def find_features(folder: str | os.PathLike, video_id: str) -> Path | None:
    """The file of a video in a folder of features; None if there is none. InputError: there is more than one."""
    if "/" in video_id or video_id in ("", ".", ".."):
        return None
    candidates = (Path(folder, video_id + suffix) for suffix in SUFFIXES)
    found = [path for path in candidates if os.path.isfile(path)]  # False for names that no file can have
    if len(found) > 1:
        raise InputError(
            f"{folder}: video {excerpt(video_id)} has two files, {found[0].name} and {found[1].name}: keep one"
        )
    return found[0] if found else None


def feature_videos(path: str | os.PathLike) -> list[str]:
    """The ids of all videos in a folder or a file for all videos, sorted. Opens no file of a folder."""
    if os.path.isdir(path):
        return sorted({_without_suffix(name) for name in _file_names(path)})
    names = _with_arrays(Path(path), lambda names, _: None if names is None else sorted(names))
    if names is None:
        raise InputError(
            f"{path}: holds one array, expected a folder with one file per video, or a file with one key per video"
        )
    return names


def _with_arrays(path: Path, use: Callable[[Collection[str] | None, _Read], _Result]) -> _Result:
    """use(names, read). names: of the arrays of the file; None if it is a single array. read: name -> array."""
    try:
        with _opened(path) as (names, read):
            return use(names, read)
    except InputError:
        raise
    except Exception as error:  # NumPy, zipfile and HDF5 raise many types for damaged bytes; no other code runs here
        raise InputError(
            f"{path}: cannot be read as features ({excerpt(str(error))}): was it written completely?"
        ) from None


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[tuple[Collection[str] | None, _Read]]:
    start = read_bytes(path, limit=8)
    if start.startswith(b"\x93NUMPY"):
        yield None, lambda _: np.load(path, allow_pickle=False)
    elif start == _HDF5:
        import h5py  # here, because it takes a quarter of a second and most datasets do not need it

        with h5py.File(path) as file:
            yield file.keys(), lambda name: _hdf5_array(file[name], f"{path}: {excerpt(name)}")
    elif start.startswith(b"PK") and not _is_torch_zip(path):
        with np.load(path, allow_pickle=False) as archive:
            yield archive.files, archive.__getitem__
    elif start.startswith((b"PK", b"\x80")):
        file = TensorFile(path)
        yield file.names, file.read
    else:
        raise InputError(f"{path}: starts with {excerpt(start)}, expected a .npy, .npz, HDF5 or torch tensor file")


def _is_torch_zip(path: Path) -> bool:
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/data.pkl") for name in archive.namelist())


def _hdf5_array(node: Any, where: str) -> np.ndarray:
    """The values of an HDF5 dataset. For a group: those of the dataset in it that `_own_name` chooses."""
    if hasattr(node, "keys"):
        node = node[_own_name(node.keys(), "", where)]
    if node.nbytes > MAX_BYTES:
        raise InputError(f"{where}: {node.nbytes} bytes (shape {node.shape}), expected features of one video")
    return node[()]


def _own_name(names: Collection[str] | None, file_name: str, where: str) -> str | None:
    """The name of the array to read from the file of one video; None if the file is a single array."""
    if names is None:
        return None
    for name in (_without_suffix(file_name), "features"):
        if name and name in names:
            return name
    if len(names) != 1:
        found = excerpt(sorted(itertools.islice(names, 4)))
        raise InputError(f"{where}: holds {len(names)} arrays {found}, expected one, or one called 'features'")
    return next(iter(names))


def _shared_name(names: Collection[str] | None, video_id: str, where: str) -> str:
    """The name of the array to read from a file for all videos."""
    if names is None:
        raise InputError(f"{where}: the file holds one array, not one per video: give the folder of such files")
    if video_id not in names:
        some = excerpt(sorted(itertools.islice(names, 4)))
        raise InputError(f"{where}: not among the {len(names)} videos of the file (such as {some})")
    return video_id


def _checked(features: np.ndarray, where: str, width: int | None) -> np.ndarray:
    """As float16 or float32 in C order and native bytes. InputError: not numbers, or another shape."""
    features = np.asarray(features)  # a member of an .npz can be anything
    if features.dtype.kind not in "fiu":
        raise InputError(f"{where}: values of type {features.dtype}, expected numbers (float16 or float32)")
    if features.ndim != 2 or 0 in features.shape:
        raise InputError(f"{where}: shape {excerpt(features.shape)}, expected [snippets, feature width], at least one")
    if width is not None and features.shape[1] != width:
        raise InputError(f"{where}: shape {features.shape}, expected [snippets, {width}] as in the other feature files")
    return as_float(features)


def _file_names(folder: str | os.PathLike) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in entries if entry.is_file() and not entry.name.startswith(".")]
    except OSError as error:
        raise InputError(f"{folder}: cannot be listed ({error.strerror})") from None


def _without_suffix(name: str) -> str:
    suffix = next((suffix for suffix in SUFFIXES if suffix and name.endswith(suffix)), "")
    return name.removesuffix(suffix)


def _hint(folder: str | os.PathLike) -> str:
    names = sorted(itertools.islice(feature_videos(folder), 3))
    suffixes = ", ".join(SUFFIXES[1:])
    return f"expected a file of that name, bare or with {suffixes}" + (f"; there are {excerpt(names)}" if names else "")
