"""The operations that benchmarks count, against a count by hand, and a case small enough for a test."""

import pytest

from benchmarks.model_speed import CASES, Size, measure_case, random_batch, useful_operations
from contextloc_jax.model import ContextLoc

pytestmark = pytest.mark.usefixtures("quick_compiler")


def test_operations_of_a_training_step_counted_by_hand():
    size = Size(videos=2, snippets=8, nodes=21, classes=1, training=True, feature_width=3)
    projections = 21 * 9 * 3 * 5 + 3 * 5  # H = 5
    graph = 40 * (10 + 30) * 7 + 8 * 7 * (10 + 30)  # Hg = 7
    heads = 8 * (20 * 2 + 60 * 1 + 60 * 2)
    assert useful_operations(size, 5, 7) == 2 * 2 * (2 * projections + 3 * (graph + heads))


def test_the_published_batch_needs_about_120_gflop():
    assert useful_operations(CASES["train_step_b32_t600"]) / 1e9 == pytest.approx(120, rel=0.02)


@pytest.mark.parametrize("training", [True, False])
def test_a_small_case_is_measured(training):
    size = Size(videos=2, snippets=40, nodes=168, classes=3, training=training, feature_width=8)
    found = measure_case(size, 2, ContextLoc(3, context_width=4, graph_width=4))
    assert found["seconds"] > 0 and found["matmul_gflop_per_second"] > 1
    rate = found["useful_gflop"] / found["seconds"] / found["matmul_gflop_per_second"]
    assert found["fraction_of_matmul_rate"] == pytest.approx(rate)


def test_no_node_of_a_batch_is_repeated_and_segments_lie_in_the_video():
    batch = random_batch(CASES["train_step_b32_t600"]._replace(videos=2, feature_width=2))
    assert batch.first_hop.shape == (2, 40, 5) and sorted(set(batch.first_hop[0].ravel())) == list(range(168))
    assert batch.segments.min() >= 0 and batch.segments.max() < 600
