"""What a train step exchanges between devices, and how long that takes: computed from the sizes of the model."""

import jax

from contextloc_jax.localization.contextloc import ContextLoc, variable_shapes

BYTES = 4  # everything is exchanged in float32
SCALARS = 5  # four losses and the flag to stop


def exchanged_bytes(model: ContextLoc, feature_width: int, num_devices: int) -> dict[str, int]:
    """{name of a sum: bytes that every device puts into it} of a step, in order (with gradient_accumulation 1)."""
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
    """Seconds of a ring all-reduce over n devices: it sends 2 (n - 1) / n of its bytes through the link of each."""
    return 2 * (num_devices - 1) / num_devices * num_bytes / bytes_per_second


def _count(tree) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(tree))
