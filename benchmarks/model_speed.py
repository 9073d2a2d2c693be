"""Seconds of a training step and of scoring one video, beside the matrix products they cannot do without.

Videos are drawn here with NumPy, so this runs wherever jax does. Formulas: benchmarks/README.md.
"""

import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from contextloc_jax.batch import Batch, Targets, count_centers
from contextloc_jax.losses import LossWeights
from contextloc_jax.model import ContextLoc
from contextloc_jax.optimizer import learning_rate_schedule, sgd
from contextloc_jax.parallel import Parallel
from contextloc_jax.train import initial_state, make_train_step

TREE_NODES, TREE_ROWS = 21, 5
CENTER_TYPES = (0, 1, 1, 1, 1, 1, 1, 2)  # foreground, six incomplete, background


class Size(NamedTuple):
    """videos V, snippets T, nodes M of a video, feature_width D, classes K; `training` or scoring."""

    videos: int
    snippets: int
    nodes: int
    classes: int = 20
    training: bool = False
    feature_width: int = 1024


CASES = {
    "train_step_b32_t600": Size(32, 600, 168, training=True),
    "train_step_b32_t1024": Size(32, 1024, 168, training=True),
    "train_step_activitynet": Size(32, 100, 168, classes=200, training=True),
    "predict_n200_t600": Size(1, 600, 200),
    "predict_n800_t600": Size(1, 600, 800),
    "predict_n2000_t600": Size(1, 600, 2000),
}


def measure(cases: dict[str, Size] = CASES, repeats: int = 5) -> dict[str, dict[str, float]]:
    """{case: what measure_case says}."""
    return {name: measure_case(size, repeats) for name, size in cases.items()}


def measure_case(size: Size, repeats: int, model: ContextLoc | None = None) -> dict[str, float]:
    """Median seconds, compile_seconds, useful_gflop, the rate of products around it, and the share of that rate."""
    model = ContextLoc(size.classes) if model is None else model
    run = train_step(model, size) if size.training else scoring(model, size)
    before = matmul_rate()
    start = time.perf_counter()
    run()
    first = time.perf_counter() - start
    seconds = median_seconds(run, repeats)
    rate = (before + matmul_rate()) / 2
    useful = useful_operations(size, model.context_width, model.graph_width)
    return {
        "seconds": seconds,
        "compile_seconds": first - seconds,
        "useful_gflop": useful / 1e9,
        "matmul_gflop_per_second": rate / 1e9,
        "fraction_of_matmul_rate": useful / seconds / rate,
    }


def useful_operations(size: Size, context_width: int = 512, graph_width: int = 512) -> float:
    """Multiplications and additions of the products of one step, or of scoring one batch (benchmarks/README.md)."""
    rows, centers = (40, len(CENTER_TYPES)) if size.training else (size.nodes, size.nodes)
    branch = 2 * context_width  # L-Net's part beside G-Net's
    projections = (size.nodes * 3 * 3 + 1) * size.feature_width * context_width
    widths = (branch, 3 * branch)
    graph = sum(rows * width * graph_width + centers * graph_width * width for width in widths)
    heads = centers * 2 * (branch * (size.classes + 1) + 3 * branch * 3 * size.classes)
    per_video = 2 * projections + 3 * (graph + heads) if size.training else projections + graph + heads
    return 2.0 * size.videos * per_video


def matmul_rate(width: int = 2048) -> float:
    """Operations a second of a float32 product of two square matrices."""
    matrix = jnp.asarray(np.random.RandomState(0).standard_normal((width, width)), jnp.float32)
    product = jax.jit(lambda a: jnp.matmul(a, a, precision="highest"))
    jax.block_until_ready(product(matrix))
    return 2 * width**3 / median_seconds(lambda: jax.block_until_ready(product(matrix)), 5)


def median_seconds(run: Callable[[], object], repeats: int) -> float:
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def train_step(model: ContextLoc, size: Size) -> Callable[[], None]:
    """A function that takes one step and waits for it."""
    parallel, batch = Parallel(), random_batch(size)
    rate = learning_rate_schedule(0.01, (15, 30), 0.1, 125)
    optimizer = sgd(rate, 0.9, 5e-4)
    step = parallel.compile_step(make_train_step(model, optimizer, rate, LossWeights(), 0))
    state = [parallel.replicate(initial_state(model, optimizer, batch, 0))]
    nobody_stops = np.zeros(parallel.num_local_devices, np.float32)
    placed = parallel.shard((batch, nobody_stops))

    def run():
        state[0], scalars = step(state[0], placed)
        jax.block_until_ready((state[0], scalars))

    return run


def scoring(model: ContextLoc, size: Size) -> Callable[[], None]:
    """A function that scores the batch and waits for it."""
    batch = jax.device_put(random_batch(size))
    variables = jax.jit(model.init)(jax.random.key(0), batch)
    score = jax.jit(lambda variables, batch: model.apply(variables, batch))
    return lambda: jax.block_until_ready(score(variables, batch))


def random_batch(size: Size, seed: int = 0) -> Batch:
    """A batch without repeated nodes; actions of 4 to 112 snippets, as long as log-uniform draws make them."""
    random = np.random.RandomState(seed)
    shape = size.videos, size.nodes
    features = np.abs(random.standard_normal((size.videos, size.snippets, size.feature_width))).astype(np.float32)
    longest = min(112, size.snippets // 2)
    length = np.exp(random.uniform(np.log(4), np.log(longest), shape)).astype(int)
    first = (random.uniform(size=shape) * (size.snippets - 1 - length)).astype(int)
    last, beside = first + length, length // 2
    pairs = [(np.maximum(first - beside, 0), first), (first, last), (last, last + beside)]
    segments = np.minimum(np.stack([np.stack(pair, -1) for pair in pairs], -2), size.snippets - 2).astype(np.int32)
    first_hop, second_hop = training_trees(size.nodes) if size.training else shared_table(random, size.nodes)
    centers = len(second_hop)
    return Batch(
        features=features,
        num_snippets=np.full(size.videos, size.snippets, np.int32),
        segments=segments,
        node_count=np.ones(shape, np.float32),
        first_hop=np.broadcast_to(first_hop, (size.videos, *first_hop.shape)),
        second_hop=np.broadcast_to(second_hop, (size.videos, *second_hop.shape)),
        center_mask=np.ones((size.videos, centers), bool),
        example_key=np.arange(size.videos, dtype=np.uint32),
        targets=random_targets(random, size) if size.training else None,
    )


def training_trees(nodes: int) -> tuple[np.ndarray, np.ndarray]:
    """Trees of 21 nodes side by side: first hops [5 a tree, 5], second hops [trees, 5]."""
    rows = [[row, *range(4 * row + 1, 4 * row + 5)] for row in range(TREE_ROWS)]
    trees = nodes // TREE_NODES
    first_hop = np.concatenate([np.array(rows) + TREE_NODES * tree for tree in range(trees)])
    return first_hop.astype(np.int32), np.arange(TREE_ROWS * trees, dtype=np.int32).reshape(trees, TREE_ROWS)


def shared_table(random: np.random.RandomState, nodes: int) -> tuple[np.ndarray, np.ndarray]:
    """Every node with four others: the one table that both hops of an evaluation read."""
    table = np.concatenate([np.arange(nodes)[:, None], random.randint(nodes, size=(nodes, 4))], axis=1)
    return table.astype(np.int32), table.astype(np.int32)


def random_targets(random: np.random.RandomState, size: Size) -> Targets:
    """Of every video one foreground, six incomplete and one background centre."""
    shape = size.videos, len(CENTER_TYPES)
    center_type = np.broadcast_to(np.array(CENTER_TYPES, np.int32), shape)
    label = np.where(center_type == 2, 0, random.randint(1, size.classes + 1, shape)).astype(np.int32)
    regression = random.standard_normal((*shape, 2)).astype(np.float32)
    return Targets(center_type, label, regression, np.tile(count_centers(center_type), (size.videos, 1)))
