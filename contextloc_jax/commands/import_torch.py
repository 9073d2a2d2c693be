"""The mode import_torch: makes a workdir from a checkpoint of the authors' PyTorch code."""

import numpy as np

from contextloc_jax.commands.settings import Settings
from contextloc_jax.core.errors import InputError
from contextloc_jax.interchange.torch_checkpoint import model_sizes, read_torch_checkpoint, to_variables
from contextloc_jax.localization.contextloc import variable_shapes
from contextloc_jax.workdir.checkpoints import Checkpoints
from contextloc_jax.workdir.config_file import claim_workdir

IMPORTED_STEP = 0


def import_torch(settings: Settings, workdir: str, torch_checkpoint: str) -> None:
    """Writes workdir/checkpoints from a .pth or .pth.tar file of ContextLoc or P-GCN. It must fit config.model."""
    path = torch_checkpoint
    state_dict, regression_stats = read_torch_checkpoint(path)
    feature_width = model_sizes(state_dict, path)["feature_width"]
    variables = to_variables(state_dict, variable_shapes(settings.model, feature_width), path)
    claim_workdir(workdir, settings.flat)
    checkpoints = Checkpoints(workdir)
    if checkpoints.latest is not None:
        raise InputError(f"{checkpoints.directory}: holds checkpoints already; import into a new --workdir")
    stats = None if regression_stats is None else regression_stats.tolist()
    about = {"config": settings.flat, "regression_stats": stats, "class_names": None}
    checkpoints.save(IMPORTED_STEP, {"step": np.int32(IMPORTED_STEP), **variables}, about, metric=None)
    checkpoints.wait()
    count = sum(array.size for array in state_dict.values())
    print(f"{path}: {len(state_dict)} tensors, {count:,} values -> {checkpoints.directory / str(IMPORTED_STEP)}")
    if stats is None:
        print("no reg_stats in the file: evaluation takes them from the configured training set")
