"""What a train step exchanges between devices, and how long that takes: from the model's sizes alone."""

import jax

from contextloc_jax.localization.contextloc import ContextLoc, variable_shapes

BYTES = 4  # everything is exchanged in float32
SCALARS = 5  # four losses and the wish to stop


def exchanged_bytes(model: ContextLoc, feature_width: int, num_devices: int) -> dict[str, int]:
    """{sum: bytes every device puts into it} of a step, in the order of the sums (gradient_accumulation 1)."""
    variables = variable_shapes(model, feature_width)
    gradients, statistics = (_count(variables.get(name, {})) for name in ("params", "batch_stats"))
    if model.norm_axis is None or not model.batch_norm:
        return {"gradients, losses, BatchNorm statistics": BYTES * (gradients + statistics + SCALARS)}
    width = variables["batch_stats"]["completeness_norm"]["mean"].size
    return {
        "BatchNorm moments": BYTES * num_devices * (1 + 2 * width),
        "their gradients": BYTES * statistics,
        "gradients, losses": BYTES * (gradients + SCALARS),
    }


def ring_seconds(num_bytes: int, num_devices: int, bytes_per_second: float) -> float:
    """A ring all-reduce sends 2 (n - 1) / n of its bytes through every device's link."""
    return 2 * (num_devices - 1) / num_devices * num_bytes / bytes_per_second


def _count(tree) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(tree))
