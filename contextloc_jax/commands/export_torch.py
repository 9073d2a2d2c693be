"""The mode export_torch: writes a checkpoint of a workdir in the form of the authors' PyTorch code."""

import numpy as np

from contextloc_jax.interchange.torch_checkpoint import write_torch_checkpoint
from contextloc_jax.workdir.checkpoints import Checkpoints


def export_torch(workdir: str, checkpoint: str, torch_checkpoint: str) -> None:
    """Writes a checkpoint ('best', 'latest' or a step) as {'state_dict', 'reg_stats'} with the authors' names."""
    path = torch_checkpoint
    step, state, about = Checkpoints(workdir).restore(checkpoint)
    variables = {name: state[name] for name in ("params", "batch_stats", "batches_tracked") if name in state}
    stats = about["regression_stats"]
    write_torch_checkpoint(path, variables, None if stats is None else np.array(stats))
    print(f"checkpoint {step} of {workdir} -> {path}")
