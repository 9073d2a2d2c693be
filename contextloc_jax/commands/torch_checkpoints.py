"""The modes import_torch and export_torch: the authors' PyTorch checkpoints to Orbax ones, and back."""

import numpy as np

from contextloc_jax.commands.settings import make_model
from contextloc_jax.core.errors import InputError
from contextloc_jax.interchange.torch_checkpoint import (
    model_sizes,
    read_torch_checkpoint,
    to_variables,
    write_torch_checkpoint,
)
from contextloc_jax.localization.initial import variable_shapes
from contextloc_jax.workdir import config_file
from contextloc_jax.workdir.checkpoints import Checkpoints

IMPORTED_STEP = 0


def import_torch(config, workdir: str, torch_checkpoint: str) -> None:
    """Writes workdir/checkpoints from a .pth or .pth.tar file of ContextLoc or P-GCN that fits config.model."""
    path = torch_checkpoint
    state_dict, regression_stats = read_torch_checkpoint(path)
    feature_width = model_sizes(state_dict, path)["feature_width"]
    variables = to_variables(state_dict, variable_shapes(make_model(config), feature_width), path)
    flat_config = config_file.flatten(config)
    config_file.claim_workdir(workdir, flat_config)
    checkpoints = Checkpoints(workdir)
    if checkpoints.latest is not None:
        raise InputError(f"{checkpoints.directory}: holds checkpoints already; import into a new --workdir")
    stats = None if regression_stats is None else regression_stats.tolist()
    about = {"config": flat_config, "regression_stats": stats, "class_names": None}
    checkpoints.save(IMPORTED_STEP, {"step": np.int32(IMPORTED_STEP), **variables}, about, metric=None)
    checkpoints.wait()
    count = sum(array.size for array in state_dict.values())
    print(f"{path}: {len(state_dict)} tensors, {count:,} values -> {checkpoints.directory / str(IMPORTED_STEP)}")
    if stats is None:
        print("no reg_stats in the file: evaluation takes them from the configured training set")


def export_torch(workdir: str, checkpoint: str, torch_checkpoint: str) -> None:
    """Writes a checkpoint of workdir as {'state_dict', 'reg_stats'} with the authors' names."""
    path = torch_checkpoint
    step, state, about = Checkpoints(workdir).restore(checkpoint)
    variables = {name: state[name] for name in ("params", "batch_stats", "batches_tracked") if name in state}
    stats = about["regression_stats"]
    write_torch_checkpoint(path, variables, None if stats is None else np.array(stats))
    print(f"checkpoint {step} of {workdir} -> {path}")
