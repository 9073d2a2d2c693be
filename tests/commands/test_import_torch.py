"""import_torch and export_torch through Orbax; torch's own files: interchange/test_torch_checkpoint_files.py."""

import numpy as np
import pytest

from configs import default
from contextloc_jax.commands import export_torch, import_torch
from contextloc_jax.commands.settings import read_settings
from contextloc_jax.core.errors import InputError
from contextloc_jax.interchange.torch_checkpoint import from_variables
from contextloc_jax.workdir.checkpoints import Checkpoints
from contextloc_jax.workdir.config_file import flatten
from tests.helpers.golden_model import NUM_CLASSES, golden


@pytest.fixture
def settings():
    return settings_for(NUM_CLASSES)


def settings_for(num_classes):
    return read_settings(flatten(default.get_config()) | {"data.num_classes": num_classes})


@pytest.fixture
def stand_in(monkeypatch):
    """Files are kept in a dict instead of torch's format: {path: (state_dict, regression statistics)}."""
    weights = {name: np.asarray(a, np.float32) if a.ndim else a for name, a in golden("weights").items()}
    files = {"in.pth": (weights, np.array([[0.1, 0.2], [0.3, 0.4]])), "bare.pth": (weights, None)}
    monkeypatch.setattr(import_torch, "read_torch_checkpoint", files.__getitem__)
    monkeypatch.setattr(
        export_torch,
        "write_torch_checkpoint",
        lambda path, variables, stats: files.update({path: (from_variables(variables), stats)}),
    )
    return files


@pytest.mark.parametrize("name", ["in.pth", "bare.pth"])
def test_golden_weights_come_back_bit_for_bit(settings, stand_in, tmp_path, name):
    import_torch.import_torch(settings, str(tmp_path), name)
    export_torch.export_torch(str(tmp_path), "best", "out.pth")
    (before, stats_before), (after, stats_after) = stand_in[name], stand_in["out.pth"]
    assert before.keys() == after.keys()
    for key, array in before.items():
        assert array.dtype == after[key].dtype and array.tobytes() == after[key].tobytes(), key
    assert (stats_before is None) == (stats_after is None)
    assert stats_before is None or np.array_equal(stats_before, stats_after)


def test_a_file_that_does_not_fit_leaves_no_checkpoint(stand_in, tmp_path):
    with pytest.raises(InputError, match=r"activity_fc.weight \(6, 2048\) vs \(7, 2048\)"):
        import_torch.import_torch(settings_for(NUM_CLASSES + 1), str(tmp_path / "run"), "in.pth")
    assert not (tmp_path / "run").exists()


def test_importing_over_a_run_is_refused(settings, stand_in, tmp_path):
    import_torch.import_torch(settings, str(tmp_path), "in.pth")
    with pytest.raises(InputError, match="holds checkpoints already"):
        import_torch.import_torch(settings, str(tmp_path), "in.pth")
    assert Checkpoints(tmp_path).latest == import_torch.IMPORTED_STEP
