"""Tensors from files of torch.save, in the zip format (torch >= 1.6) and the legacy one, without torch."""

import io
import math
import os
import zipfile
from collections.abc import Callable

import numpy as np

from contextloc_jax.core.errors import InputError, excerpt
from contextloc_jax.core.files import read_bytes
from input_pipeline.formats import torch_pickle
from input_pipeline.formats.torch_pickle import StorageRef, TensorRef

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C  # first pickle of a legacy file
LEGACY_PROTOCOL = 1001  # second pickle
_StorageBytes = Callable[[StorageRef], bytes]


class TensorFile:
    """A file with one tensor, or with a dict of tensors.

    names: the keys of the tensors in the dict; None if the file is one tensor. InputError: the file is of another kind
    or damaged, or its pickle (which is never run) holds anything but tensors and flat dicts of them.
    """

    def __init__(self, path: str | os.PathLike):
        self._path = path
        data = read_bytes(path)
        content, self._storage_bytes = (_open_zip if data.startswith(b"PK") else _open_legacy)(str(path), data)
        if isinstance(content, TensorRef):
            self.names, self._tensors = None, {None: content}
        elif isinstance(content, dict):
            self._tensors = {str(name): tensor for name, tensor in content.items() if isinstance(tensor, TensorRef)}
            self.names = list(self._tensors)
        else:
            raise InputError(f"{path}: found a {type(content).__name__}, expected a tensor or a dict of tensors")

    def read(self, name: str | None = None) -> np.ndarray:
        """The tensor in its own dtype (bfloat16 as float32). name: which one, if the file has `names`.

        InputError: there is no such tensor, it does not fit the stored values, or it has no values.
        """
        if name not in self._tensors:
            raise InputError(f"{self._path}: no tensor {excerpt(name)} among {excerpt(self.names)}")
        return _array(self._tensors[name], self._storage_bytes, str(self._path))


def _open_zip(path: str, data: bytes) -> tuple[object, _StorageBytes]:
    """The content of a zip-format file: folder/data.pkl, folder/data/KEY for every storage, folder/byteorder."""
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
    except Exception as error:  # zipfile raises many types for damaged bytes
        raise _damaged(path, error) from None

    def member(name: str) -> bytes:
        try:
            info = archive.getinfo(name)
            if info.compress_type != zipfile.ZIP_STORED:  # torch never compresses; this refuses zip bombs
                raise ValueError(f"{name} is compressed")
            return archive.read(info)
        except Exception as error:
            raise _damaged(path, error) from None

    pickles = [name for name in archive.namelist() if name.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise InputError(f"{path}: a zip file without data.pkl, expected one that torch.save wrote")
    folder = pickles[0].removesuffix("data.pkl")
    if f"{folder}byteorder" in archive.namelist() and member(f"{folder}byteorder") != b"little":
        raise _big_endian(path)
    content, _ = torch_pickle.load(io.BytesIO(member(pickles[0])), path)
    return content, lambda storage: member(f"{folder}data/{storage.key}")


def _open_legacy(path: str, data: bytes) -> tuple[object, _StorageBytes]:
    """The content of a legacy file: five pickles (magic number, protocol, system, content, keys), then the storages.

    The storages follow in the order of the keys: the count of values as int64, then the values.
    """
    stream = io.BytesIO(data)
    if any(torch_pickle.load(stream, path)[0] != number for number in (LEGACY_MAGIC, LEGACY_PROTOCOL)):
        raise InputError(f"{path}: a pickle that torch.save did not write; save features with torch.save(tensor, file)")
    system, _ = torch_pickle.load(stream, path)
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise _big_endian(path)
    content, storages = torch_pickle.load(stream, path)
    keys, _ = torch_pickle.load(stream, path)
    if not isinstance(keys, list) or not all(isinstance(key, str) and key in storages for key in keys):
        raise _damaged(path, "its list of storages differs from its tensors")
    values = {}
    for key in keys:
        count = int.from_bytes(stream.read(8), "little")
        if count != storages[key].count:
            raise _damaged(path, f"{count} stored values, expected {storages[key].count}")
        values[key] = stream.read(min(_byte_count(storages[key]), len(data)))
    return content, lambda storage: values.get(storage.key, b"")


def _array(tensor: TensorRef, storage_bytes: _StorageBytes, path: str) -> np.ndarray:
    """A copy of the values of the tensor, in C order. Before that, every index is checked against the storage."""
    storage, shape = tensor.storage, tensor.shape
    data = storage_bytes(storage)
    strides = [stride if size > 1 else 0 for size, stride in zip(shape, tensor.strides, strict=False)]
    last = tensor.offset + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=False))
    if len(data) != _byte_count(storage):
        raise _damaged(path, f"{len(data)} bytes stored, expected {_byte_count(storage)}")
    if len(shape) != len(tensor.strides) or len(shape) > 8 or not 0 < math.prod(shape) <= storage.count:
        raise InputError(
            f"{path}: a tensor of shape {excerpt(shape)} over {storage.count} stored values, expected a tensor with its"
            " own values: save tensor.contiguous()"
        )
    if last >= storage.count:
        raise _damaged(path, f"a tensor of shape {excerpt(shape)} reaches beyond its values")
    values = _values(data, storage.dtype)[tensor.offset :]
    return np.lib.stride_tricks.as_strided(values, shape, [stride * values.itemsize for stride in strides]).copy()


def _values(data: bytes, dtype: str) -> np.ndarray:
    if dtype != "bfloat16":
        return np.frombuffer(data, dtype)
    return (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32)


def _byte_count(storage: StorageRef) -> int:
    return storage.count * (2 if storage.dtype == "bfloat16" else np.dtype(storage.dtype).itemsize)


def _damaged(path: str, reason: object) -> InputError:
    return InputError(f"{path}: damaged torch file ({excerpt(str(reason))}): was it written completely?")


def _big_endian(path: str) -> InputError:
    return InputError(f"{path}: written by torch on a big-endian machine; expected a file from a little-endian one")
