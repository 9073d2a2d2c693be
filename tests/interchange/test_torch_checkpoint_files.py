"""Real torch files, read and written; skipped where the optional torch is not installed."""

from collections import OrderedDict

import numpy as np
import pytest

from contextloc_jax.core.errors import InputError
from contextloc_jax.interchange.torch_checkpoint import read_torch_checkpoint, to_variables, write_torch_checkpoint
from tests.helpers.torch_state_dicts import (
    REGRESSION_STATS,
    H,
    assert_equal,
    assert_one_line,
    expected_tree,
    state_dict_of,
)


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


def as_tensors(torch, state_dict, prefix=""):
    return OrderedDict((prefix + name, torch.from_numpy(array.copy())) for name, array in state_dict.items())


@pytest.mark.parametrize("zip_format", [True, False])
@pytest.mark.parametrize("tensor_stats", [True, False])
def test_file_of_the_training_scripts(torch, tmp_path, zip_format, tensor_stats):
    contents = {
        "epoch": 3,
        "arch": "I3D",
        "state_dict": as_tensors(torch, state_dict_of(), "module."),
        "best_loss": np.float32(0.5),
        "reg_stats": torch.from_numpy(REGRESSION_STATS) if tensor_stats else REGRESSION_STATS,
    }
    path = tmp_path / "best.pth.tar"
    torch.save(contents, path, _use_new_zipfile_serialization=zip_format)
    state_dict, stats = read_torch_checkpoint(path)
    assert_equal(state_dict, state_dict_of())
    assert (stats.dtype, stats.tolist()) == (np.float64, REGRESSION_STATS.tolist())


def test_arrays_pickled_by_numpy_1(torch, tmp_path):
    """Same file with the module name that NumPy 1 wrote: the authors' scripts ran under it."""
    path = tmp_path / "old.pth"
    contents = {"state_dict": as_tensors(torch, state_dict_of()), "reg_stats": REGRESSION_STATS}
    torch.save(contents, path, _use_new_zipfile_serialization=False)
    renamed = path.read_bytes().replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")
    assert renamed != path.read_bytes()
    path.write_bytes(renamed)
    assert read_torch_checkpoint(path)[1].tolist() == REGRESSION_STATS.tolist()


def test_half_precision_becomes_float32(torch, tmp_path):
    path = tmp_path / "half.pth"
    values = torch.tensor([0.5, -2.0])
    torch.save({"b": values.bfloat16(), "h": values.half(), "p": torch.nn.Parameter(values)}, path)
    state_dict, _ = read_torch_checkpoint(path)
    assert_equal(state_dict, dict.fromkeys("bhp", np.array([0.5, -2], np.float32)))


def test_written_file_round_trips_and_torch_loads_it(torch, tmp_path):
    path = tmp_path / "new" / "exported.pth"
    variables = to_variables(state_dict_of(), expected_tree())
    write_torch_checkpoint(path, variables, REGRESSION_STATS)
    state_dict, stats = read_torch_checkpoint(path)
    assert_equal(state_dict, state_dict_of())
    assert stats.tobytes() == REGRESSION_STATS.tobytes()
    loaded = torch.load(path, weights_only=True)  # plain tensors: nothing to allow
    assert set(loaded) == {"state_dict", "reg_stats"}
    norm = torch.nn.BatchNorm1d(2 * H)
    norm.load_state_dict({name[5:]: t for name, t in loaded["state_dict"].items() if name.startswith("BN_A.")})
    assert norm.num_batches_tracked == 7
    assert path.read_bytes()[:2] == b"PK"

    with path.open("rb") as old:  # replaced as a whole: who reads the old file goes on reading it
        size = path.stat().st_size
        write_torch_checkpoint(path, variables, None)
        assert len(old.read()) == size != path.stat().st_size
    assert read_torch_checkpoint(path)[1] is None
    assert [p.name for p in path.parent.iterdir()] == ["exported.pth"]


def test_failed_write_leaves_the_old_file(torch, tmp_path, monkeypatch):
    path = tmp_path / "exported.pth"
    path.write_bytes(b"old")
    variables = to_variables(state_dict_of(), expected_tree())

    def full_disk(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(InputError) as error:
        write_torch_checkpoint(path, variables, REGRESSION_STATS)
    assert_one_line(error, str(path), "No space left on device")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_unwritable_path(torch, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError) as error:
        write_torch_checkpoint(tmp_path / "file" / "a.pth", to_variables(state_dict_of(), expected_tree()), None)
    assert_one_line(error, f"--torch_checkpoint={tmp_path / 'file'}: cannot write there")


class Payload:
    """Unpickled without care, it makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("zip_format", [True, False])
def test_no_code_of_the_file_runs(torch, tmp_path, zip_format):
    path, made = tmp_path / "evil.pth", tmp_path / "made"
    torch.save({"state_dict": {}, "arch": Payload(made)}, path, _use_new_zipfile_serialization=zip_format)
    with pytest.raises(InputError) as error:
        read_torch_checkpoint(path)
    assert_one_line(error, str(path), "it refers to", "open")
    assert not made.exists()


@pytest.mark.parametrize("zip_format", [True, False])
def test_truncated_files(torch, tmp_path, zip_format):
    path = tmp_path / "cut.pth"
    torch.save(as_tensors(torch, state_dict_of()), path, _use_new_zipfile_serialization=zip_format)
    whole = path.read_bytes()
    for size in (0, 1, 10, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(InputError) as error:
            read_torch_checkpoint(path)
        assert_one_line(error, f"{path}: not a complete torch file")


def test_paths_that_cannot_be_read(torch, tmp_path):
    for path, reason in ((tmp_path / "none.pth", "No such file"), (tmp_path, "directory")):
        with pytest.raises(InputError) as error:
            read_torch_checkpoint(path)
        assert_one_line(error, f"{path}: cannot be read", reason)


def test_sparse_tensor(torch, tmp_path):
    path = tmp_path / "sparse.pth"
    torch.save({"a": torch.eye(2).to_sparse()}, path)
    with pytest.raises(InputError) as error:
        read_torch_checkpoint(path)
    assert_one_line(error, f"{path}: a: expected a dense tensor")
