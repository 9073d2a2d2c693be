"""import_torch and export_torch through Orbax; reading and writing of torch's own files: test_torch_files.py."""

import numpy as np
import pytest

from configs import default
from contextloc_jax.commands import torch_checkpoints
from contextloc_jax.core.errors import InputError
from contextloc_jax.interchange.torch_checkpoint import from_variables
from contextloc_jax.workdir.checkpoints import Checkpoints
from tests.helpers.golden_model import NUM_CLASSES, golden


@pytest.fixture
def config():
    config = default.get_config()
    config.data.num_classes = NUM_CLASSES
    return config


@pytest.fixture
def stand_in(monkeypatch):
    """Files are kept in a dict instead of torch's format: {path: (state_dict, regression statistics)}."""
    weights = {name: np.asarray(a, np.float32) if a.ndim else a for name, a in golden("weights").items()}
    files = {"in.pth": (weights, np.array([[0.1, 0.2], [0.3, 0.4]])), "bare.pth": (weights, None)}
    monkeypatch.setattr(torch_checkpoints, "read_torch_checkpoint", files.__getitem__)
    monkeypatch.setattr(
        torch_checkpoints,
        "write_torch_checkpoint",
        lambda path, variables, stats: files.update({path: (from_variables(variables), stats)}),
    )
    return files


@pytest.mark.parametrize("name", ["in.pth", "bare.pth"])
def test_golden_weights_come_back_bit_for_bit(config, stand_in, tmp_path, name):
    torch_checkpoints.import_torch(config, str(tmp_path), name)
    torch_checkpoints.export_torch(str(tmp_path), "best", "out.pth")
    (before, stats_before), (after, stats_after) = stand_in[name], stand_in["out.pth"]
    assert before.keys() == after.keys()
    for key, array in before.items():
        assert array.dtype == after[key].dtype and array.tobytes() == after[key].tobytes(), key
    assert (stats_before is None) == (stats_after is None)
    assert stats_before is None or np.array_equal(stats_before, stats_after)


def test_a_file_that_does_not_fit_leaves_no_checkpoint(config, stand_in, tmp_path):
    config.data.num_classes = NUM_CLASSES + 1
    with pytest.raises(InputError, match=r"activity_fc.weight \(6, 2048\) vs \(7, 2048\)"):
        torch_checkpoints.import_torch(config, str(tmp_path / "run"), "in.pth")
    assert not (tmp_path / "run").exists()


def test_importing_over_a_run_is_refused(config, stand_in, tmp_path):
    torch_checkpoints.import_torch(config, str(tmp_path), "in.pth")
    with pytest.raises(InputError, match="holds checkpoints already"):
        torch_checkpoints.import_torch(config, str(tmp_path), "in.pth")
    assert Checkpoints(tmp_path).latest == torch_checkpoints.IMPORTED_STEP
