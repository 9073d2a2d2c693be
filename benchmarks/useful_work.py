"""What a step, or scoring a batch, needs at least: operations, bytes, and the seconds for these.

This module is plain Python, so that the process that prints the table stays small (benchmarks/__main__.py). Formulas:
benchmarks/README.md.
"""

from typing import NamedTuple

from contextloc_jax.localization.tree import INNER_NODES

CENTER_TYPES = (0, 1, 1, 1, 1, 1, 1, 2)  # foreground, six incomplete, background
SCHEDULE_STEPS = 45 * 125  # THUMOS14: epochs x steps


class Size(NamedTuple):
    """videos V, snippets T, nodes M of a video, classes K, feature_width D; training: a step, else scoring; dtype."""

    videos: int
    snippets: int
    nodes: int
    classes: int = 20
    training: bool = False
    feature_width: int = 1024
    dtype: str = "float32"


SIZES = {
    "train_step_b32_t600": Size(32, 600, 168, training=True),
    "train_step_b32_t600_bf16": Size(32, 600, 168, training=True, dtype="bfloat16"),
    "train_step_b32_t1024": Size(32, 1024, 168, training=True),
    "train_step_activitynet": Size(32, 100, 168, classes=200, training=True),
    "predict_n200_t600": Size(1, 600, 200),
    "predict_n800_t600": Size(1, 600, 800),
    "predict_n2000_t600": Size(1, 600, 2000),
    "predict_activitynet": Size(1, 100, 100, classes=200),
    "thumos14_schedule": Size(32, 1024, 168, training=True),
}


def useful_operations(size: Size, context_width: int = 512, graph_width: int = 512) -> float:
    """Number of multiplications and additions in the products of one step, or of scoring one batch."""
    rows, centers = (INNER_NODES * len(CENTER_TYPES), len(CENTER_TYPES)) if size.training else (size.nodes, size.nodes)
    branch = 2 * context_width  # L-Net's part beside G-Net's
    projections = (size.nodes * 3 * 3 + 1) * size.feature_width * context_width
    widths = (branch, 3 * branch)
    graph = sum(rows * width * graph_width + centers * graph_width * width for width in widths)
    heads = centers * 2 * (branch * (size.classes + 1) + 3 * branch * 3 * size.classes)
    per_video = 2 * projections + 3 * (graph + heads) if size.training else projections + graph + heads
    return 2.0 * size.videos * per_video


def moved_bytes(size: Size, batch_bytes: int, parameter_bytes: int) -> int:
    """Bytes of a step or of scoring: the batch is read once; the parameters are read once (in training, parameters,
    gradients and momentum are read and written); the scores are written."""
    centers = len(CENTER_TYPES) if size.training else size.nodes
    score_bytes = 4 * size.videos * centers * (1 + 4 * size.classes)
    return batch_bytes + (6 if size.training else 1) * parameter_bytes + score_bytes


def floor_seconds(operations: float, matmul_rate: float, num_bytes: float, copy_rate: float) -> float:
    """The longer of computing and moving. A machine may do both at once, so their sum would not be a floor."""
    return max(operations / matmul_rate, num_bytes / copy_rate)
