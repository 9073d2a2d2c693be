"""The operations and bytes that benchmarks count, against a count by hand, and cases small enough for a test."""

import jax
import pytest

from benchmarks.model_speed import measure, measure_case, measure_schedule
from benchmarks.published import published_model
from benchmarks.random_batch import random_batch
from benchmarks.useful_work import SIZES, Size, floor_seconds, moved_bytes, useful_operations

pytestmark = pytest.mark.usefixtures("quick_compiler")
SMALL = Size(videos=2, snippets=40, nodes=168, classes=3, feature_width=8)
WIDTHS = {"context_width": 4, "graph_width": 4}


def test_operations_of_a_training_step_counted_by_hand():
    size = Size(videos=2, snippets=8, nodes=21, classes=1, training=True, feature_width=3)
    projections = 21 * 9 * 3 * 5 + 3 * 5  # H = 5
    graph = 40 * (10 + 30) * 7 + 8 * 7 * (10 + 30)  # Hg = 7
    heads = 8 * (20 * 2 + 60 * 1 + 60 * 2)
    assert useful_operations(size, 5, 7) == 2 * 2 * (2 * projections + 3 * (graph + heads))


def test_the_published_batch_needs_about_120_gflop():
    assert useful_operations(SIZES["train_step_b32_t600"]) / 1e9 == pytest.approx(120, rel=0.02)


def test_bytes_of_a_step_and_of_scoring_counted_by_hand():
    scores = 4 * (4 + 3 + 6)  # a center's activity, completeness and regression
    assert moved_bytes(SMALL, 1000, 10) == 1000 + 10 + 2 * 168 * scores
    assert moved_bytes(SMALL._replace(training=True), 1000, 10) == 1000 + 60 + 2 * 8 * scores


def test_the_floor_is_what_takes_longer():
    assert floor_seconds(12, 4, 10, 5) == 3 and floor_seconds(4, 4, 10, 5) == 2


@pytest.mark.parametrize(("training", "dtype"), [(True, "float32"), (False, "bfloat16")])
def test_a_small_case_is_measured(training, dtype):
    found = measure_case(published_model(3, dtype=dtype, **WIDTHS), SMALL._replace(training=training, dtype=dtype), 2)
    assert found["seconds"] > 0 and found["matmul_gflop_per_second"] > 1 and found["copy_gigabytes_per_second"] > 0.1
    rate = found["useful_gflop"] / found["seconds"] / found["matmul_gflop_per_second"]
    assert found["fraction_of_matmul_rate"] == pytest.approx(rate)
    assert found["fraction_of_floor"] == pytest.approx(found["floor_seconds"] / found["seconds"])
    assert found["fraction_of_floor"] >= found["fraction_of_matmul_rate"] * (1 - 1e-9)
    assert found["peak_gigabytes"] > 0.05  # jax alone holds more
    assert found["moved_gigabytes"] * 1e9 > 4 * 2 * 40 * 8  # the features


def test_the_whole_schedule_is_extrapolated_from_steps_that_are_fed():
    found = measure_schedule(published_model(3, **WIDTHS), SMALL._replace(training=True), steps=3, drawn=2)
    assert found["measured_steps"] == 3 and found["seconds"] == pytest.approx(5625 * found["seconds_per_step"])
    assert found["fraction_of_floor"] == pytest.approx(found["floor_seconds"] / found["seconds"])
    assert found["useful_gflop_per_second"] == pytest.approx(found["useful_gflop"] / found["seconds"])


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="an accelerator measures it")
def test_the_whole_schedule_is_not_measured_on_a_cpu():
    assert "accelerator" in measure("thumos14_schedule")["skipped"]


def test_no_node_of_a_batch_is_repeated_and_segments_lie_in_the_video():
    batch = random_batch(SIZES["train_step_b32_t600"]._replace(videos=2, feature_width=2))
    assert batch.first_hop.shape == (2, 40, 5) and sorted(set(batch.first_hop[0].ravel())) == list(range(168))
    assert batch.segments.min() >= 0 and batch.segments.max() < 600
