"""Torch's files made by hand, without torch: their pickles, archives and legacy streams."""

import io
import pickle
import zipfile
from pathlib import Path

import numpy as np

from contextloc_jax.core.errors import InputError
from input_pipeline.formats.torch_tensors import LEGACY_MAGIC, LEGACY_PROTOCOL, TensorFile

SIX = np.arange(6, dtype="<f4").tobytes()  # the values of a tensor [2, 3]


def zipped(pickled: bytes, storages: dict[str, bytes] | None = None, compression: int = zipfile.ZIP_STORED) -> bytes:
    """The archive that torch writes today, of a pickle and the storages that it refers to."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        archive.writestr("x/data.pkl", pickled)
        for key, data in (storages or {}).items():
            archive.writestr(f"x/data/{key}", data)
    return buffer.getvalue()


def legacy(pickled: bytes, keys: bytes = b"", tail: bytes = b"", little_endian: bool = True) -> bytes:
    """What torch wrote before 1.6: a head, the pickle, the pickled keys of the storages, and the storages."""
    system = {"protocol_version": LEGACY_PROTOCOL, "little_endian": little_endian, "type_sizes": {}}
    head = b"".join(pickle.dumps(content, 2) for content in (LEGACY_MAGIC, LEGACY_PROTOCOL, system))
    return head + pickled + (keys or pickle.dumps([], 2)) + tail


def tensor_pickle(key="0", count=6, offset=0, shape=(2, 3), strides=(3, 1), storage="FloatStorage") -> bytes:
    """The pickle of a tensor, by hand: torch's instructions around pickled literals."""

    def literal(value: object) -> bytes:
        return pickle.dumps(value, 2)[2:-1]

    reference = b"(" + literal("storage") + f"ctorch\n{storage}\n".encode() + literal(key) + literal("cpu")
    view = b"".join(literal(value) for value in (offset, shape, strides, False))
    return b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(" + reference + literal(count) + b"tQ" + view + b"N" + b"tR."


def assert_reads_or_refuses(path: Path) -> None:
    """Every tensor of a torch file is read, or one line says what is wrong with it."""
    try:
        file = TensorFile(path)
        for name in [None] if file.names is None else file.names:
            assert file.read(name).size
    except InputError as error:
        assert "\n" not in str(error)
