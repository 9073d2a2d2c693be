"""Torch's files read without torch: real ones of both formats, some made by hand, and damaged ones.

tests/fixtures/tensors was written by torch 2.13, with x = torch.arange(12, dtype=torch.float32).reshape(3, 4) / 8 and
legacy = {"_use_new_zipfile_serialization": False}:

    torch.save(x, "tensor_zip")
    torch.save(x.half(), "tensor_legacy", **legacy)
    torch.save(x.to(torch.bfloat16), "tensor_bfloat16.pt")
    torch.save(torch.nn.Parameter(x.double()), "parameter_protocol5.pt", pickle_protocol=5, **legacy)
    streams = {"rgb": x, "flow": x[1:].t(), "count": torch.tensor(3), "note": "two streams", "nested": [x.int()]}
    torch.save(streams, "dict_zip.pt")
    torch.save(streams, "dict_legacy.pt", **legacy)
    torch.save(torch.nn.BatchNorm1d(2).state_dict(), "state_dict.pth")
    torch.save(x.numpy(), "numpy_array.pt")
    torch.save(torch.ones(1).expand(3, 4), "expanded.pt")
"""

import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contextloc_jax.core.errors import InputError
from input_pipeline.formats.torch_tensors import TensorFile
from tests.helpers.fuzzing import LONG_FUZZ
from tests.helpers.paths import FIXTURES as FIXTURE_FILES
from tests.helpers.torch_bytes import SIX, assert_reads_or_refuses, legacy, tensor_pickle, zipped

FIXTURES = FIXTURE_FILES / "tensors"
X = np.arange(12, dtype=np.float32).reshape(3, 4) / 8


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        ("tensor_zip", np.float32),
        ("tensor_legacy", np.float16),
        ("tensor_bfloat16.pt", np.float32),
        ("parameter_protocol5.pt", np.float64),
    ],
)
def test_reads_what_torch_wrote(name, dtype):
    file = TensorFile(FIXTURES / name)
    assert file.names is None
    tensor = file.read()
    np.testing.assert_array_equal(tensor, X)
    assert tensor.dtype == dtype and tensor.flags.c_contiguous and tensor.flags.writeable


@pytest.mark.parametrize("name", ["dict_zip.pt", "dict_legacy.pt"])
def test_reads_dicts_with_views_of_a_shared_storage(name):
    file = TensorFile(FIXTURES / name)
    assert file.names == ["rgb", "flow", "count"]
    np.testing.assert_array_equal(file.read("rgb"), X)
    np.testing.assert_array_equal(file.read("flow"), X[1:].T)
    assert file.read("count") == 3 and file.read("count").shape == ()


def test_reads_a_state_dict_with_its_metadata():
    file = TensorFile(FIXTURES / "state_dict.pth")
    assert file.names == ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]
    np.testing.assert_array_equal(file.read("weight"), [1, 1])


def written(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "video"
    path.write_bytes(data)
    return path


def test_tensors_by_hand_are_read(tmp_path):
    expected = np.arange(6).reshape(2, 3)
    for data in (
        zipped(tensor_pickle(), {"0": SIX}),
        zipped(tensor_pickle(strides=(3, 1)), {"0": SIX, "byteorder": b"little"}),
        legacy(tensor_pickle(), pickle.dumps(["0"], 2), struct.pack("<q", 6) + SIX),
    ):
        np.testing.assert_array_equal(TensorFile(written(tmp_path, data)).read(), expected)
    column = zipped(tensor_pickle(offset=4, shape=(2, 1), strides=(1, 10**30)), {"0": SIX})
    np.testing.assert_array_equal(TensorFile(written(tmp_path, column)).read(), [[4], [5]])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the file is empty"),
        (b"\x80\x02", "damaged torch file"),
        (b"PK\x03\x04 and no more", "damaged torch file"),
        ((FIXTURES / "tensor_zip").read_bytes()[:700], "damaged torch file"),
        ((FIXTURES / "tensor_legacy").read_bytes()[:-1], "damaged torch file .*23 bytes stored, expected 24"),
        ((FIXTURES / "tensor_legacy").read_bytes()[:-30], "damaged torch file"),
        ((FIXTURES / "numpy_array.pt").read_bytes(), "refused: .*it holds a NumPy array: save it as .npy"),
        ((FIXTURES / "expanded.pt").read_bytes(), r"shape \(3, 4\) over 1 stored values.*save tensor.contiguous"),
        (pickle.dumps([1, 2], 2), "a pickle that torch.save did not write"),
        (pickle.dumps({1, 2}, 4), "refused: .*pickle instruction EMPTY_SET"),
        (pickle.dumps(np.zeros(2), 2), "refused: .*it holds a NumPy array"),
        (legacy(tensor_pickle(), little_endian=False), "big-endian machine"),
        (legacy(pickle.dumps([1], 2)), "found a list, expected a tensor or a dict of tensors"),
        (legacy(tensor_pickle(), pickle.dumps(["1"], 2)), "list of storages differs"),
        (legacy(tensor_pickle(), pickle.dumps(["0"], 2), struct.pack("<q", 5) + SIX), "5 stored values, expected 6"),
        (
            legacy(tensor_pickle(count=1 << 62), pickle.dumps(["0"], 2), struct.pack("<q", 1 << 62) + SIX),
            f"24 bytes stored, expected {1 << 64}",
        ),
        (zipped(tensor_pickle()), "damaged torch file .*x/data/0"),
        (zipped(tensor_pickle(), {"0": SIX[:-1]}), "23 bytes stored, expected 24"),
        (zipped(tensor_pickle(), {"0": SIX}, zipfile.ZIP_DEFLATED), "x/data.pkl is compressed"),
        (zipped(tensor_pickle(shape=(3, 3)), {"0": SIX}), r"shape \(3, 3\) over 6 stored values"),
        (zipped(tensor_pickle(shape=(0, 3)), {"0": SIX}), r"shape \(0, 3\) over 6 stored values"),
        (zipped(tensor_pickle(shape=(3,)), {"0": SIX}), r"shape \(3,\) over 6 stored values"),
        (zipped(tensor_pickle(offset=1), {"0": SIX}), r"shape \(2, 3\) reaches beyond its values"),
        (zipped(tensor_pickle(strides=(4, 1)), {"0": SIX}), r"shape \(2, 3\) reaches beyond its values"),
        (zipped(tensor_pickle(strides=(-3, 1)), {"0": SIX}), "an unknown object"),
        (zipped(tensor_pickle(shape=(1 << 80, 1 << 80)), {"0": SIX}), "over 6 stored values"),
        (zipped(tensor_pickle(count=1 << 80), {"0": SIX}), "24 bytes stored, expected 4835"),
        (zipped(tensor_pickle(storage="QInt8Storage"), {"0": SIX}), "it asks for 'torch.QInt8Storage'"),
        (zipped(b"\x80\x02" + b"(" * 100_000 + b"t" * 100_000 + b"."), "found a tuple"),
        (zipped(b"\x80\x02" + b"]q\x00" + b"]q\x01h\x00a" * 100_000 + b"."), "found a list"),
        (zipped(b"\x80\x02}(" + b")\x85" + b"\x85" * 100_000 + b"K\x00u."), "a key that is not text"),
        (zipped(b"\x80\x02]r\xff\xff\xff\x7f."), "found a list"),
        (zipped(b"\x80\x05\x96\xff\xff\xff\xff\xff\xff\xff\x3f."), "damaged torch file"),
        (zipped(b"\x80\x02ccollections\nOrderedDict\n]K\x01aR."), "an unknown object"),
        (zipped(b"\x80\x02K\x05}b."), "a dict is missing"),
        (zipped(b"\x80\x02}K\x05K\x06s."), r"no tensor None among \[\]"),
        (zipped(b"\x80\x02K\x05K\x05a."), "a list is missing"),
        (zipped(b"\x80\x02t."), "damaged torch file"),
        (zipped(b"."), "damaged torch file"),
    ],
)
def test_bad_files_are_named(tmp_path, data, message):
    with pytest.raises(InputError, match=message) as error:
        TensorFile(written(tmp_path, data)).read()
    assert "\n" not in str(error.value) and len(str(error.value)) < 400 and "video" in str(error.value)


@LONG_FUZZ
@given(st.sampled_from(sorted(path.name for path in FIXTURES.iterdir())), st.data())
def test_damaged_files_are_read_or_refused(tmp_path, name, data):
    content = bytearray((FIXTURES / name).read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(content)))
        content[start : start + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    assert_reads_or_refuses(written(tmp_path, bytes(content)))
