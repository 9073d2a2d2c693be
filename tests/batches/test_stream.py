"""The tf.data streams: the batches of training_batches.py and evaluation_batches.py, in order, from any start, at any
number of workers."""

import time

import numpy as np
import pytest

from contextloc_jax.localization.alignment import align_by_stride
from input_pipeline.batches.evaluation_batches import EvaluationBatches
from input_pipeline.batches.stream import BatchStream
from input_pipeline.batches.targets import regression_stats
from input_pipeline.batches.training_batches import TrainingBatches, steps_per_epoch
from tests.helpers.published import ALIGN, CENTERS, RULES
from tests.helpers.training_batches import assert_batches_equal
from tests.helpers.video_records import make_source


@pytest.fixture(scope="module")
def source():
    return make_source()


def settings(source, **changes):
    stats = regression_stats(source.records, RULES)
    fixed = {"rules": RULES, "regression_stats": stats, "align": ALIGN, "centers": CENTERS}
    return fixed | {"batch_size": 4, "seed": 3, "visits_per_epoch": 5} | changes


def train_batches(source, num_steps, start_step=0, workers=None, **settings):
    batches, numbers = TrainingBatches(source, **settings), range(start_step, num_steps)
    return BatchStream(batches.batch, numbers, source.feature_dtype, has_targets=True, workers=workers)


def evaluation_batches(source, **settings):
    batches = EvaluationBatches(source, seed=0, align=ALIGN, **settings)
    return BatchStream(batches.batch, range(len(batches)), source.feature_dtype, has_targets=False)


def test_train_batches_are_the_batches_of_their_steps(source):
    expected = TrainingBatches(source, **settings(source))
    stream = train_batches(source, num_steps=7, **settings(source))
    assert len(stream) == 7
    got = list(stream)
    assert len(got) == 7
    for step, batch in enumerate(got):
        assert_batches_equal(batch, expected.batch(step))


def test_train_batches_seek(source):
    whole = list(train_batches(source, num_steps=8, **settings(source)))
    rest = list(train_batches(source, num_steps=8, start_step=5, **settings(source)))
    assert len(rest) == 3
    for left, right in zip(rest, whole[5:], strict=True):
        assert_batches_equal(left, right)
    assert list(train_batches(source, num_steps=8, start_step=8, **settings(source))) == []


@pytest.mark.parametrize("workers", [1, 5])
def test_batches_do_not_depend_on_the_number_of_workers(source, workers):
    default = list(train_batches(source, num_steps=10, **settings(source)))
    other = list(train_batches(source, num_steps=10, workers=workers, **settings(source)))
    for left, right in zip(other, default, strict=True):
        assert_batches_equal(left, right)


def test_snippet_stride_and_length_reach_the_segments(source):
    changed = settings(source, align=align_by_stride(4, 16))
    (got,) = train_batches(source, num_steps=1, **changed)
    expected = TrainingBatches(source, **changed).batch(0)
    assert_batches_equal(got, expected)
    (usual,) = train_batches(source, num_steps=1, **settings(source))
    assert (usual[1].segments != got[1].segments).any()


def test_processes_and_centers_reach_the_batches(source):
    whole = list(train_batches(source, num_steps=2, **settings(source)))
    half = list(train_batches(source, num_steps=2, process_index=1, process_count=2, **settings(source)))
    np.testing.assert_array_equal(half[1][0], whole[1][0][2:])
    (few,) = train_batches(source, num_steps=1, **settings(source, centers=(1, 2, 1)))
    assert few[1].targets.label.shape == (4, 4)


def test_evaluation_batches_can_be_iterated_again(source):
    stream = evaluation_batches(source)
    expected = EvaluationBatches(source, seed=0, align=ALIGN)
    assert len(stream) == len(expected) == 3
    for _ in range(2):
        got = list(stream)
        assert len(got) == 3
        for number, batch in enumerate(got):
            assert batch[1].targets is None
            assert_batches_equal(batch, expected.batch(number))


def test_evaluation_batches_of_two_processes(source):
    streams = [evaluation_batches(source, process_index=p, process_count=2) for p in (0, 1)]
    indices = [[int(i[0]) for i, _ in stream] for stream in streams]
    assert len(indices[0]) == len(indices[1])
    assert sorted(i for part in indices for i in part if i >= 0) == [0, 1, 2]


def test_steps_per_epoch(source):
    assert steps_per_epoch(source, 4, 5) == TrainingBatches(source, **settings(source)).steps_per_epoch == 3


def test_batches_keep_their_order_however_long_each_takes(source):
    batches = EvaluationBatches(source, seed=0, align=ALIGN)

    def make_batch(number):
        time.sleep(0.05 if number % 2 == 0 else 0)
        return np.array([number], np.int32), batches.batch(0)[1]

    stream = BatchStream(make_batch, range(2, 10), source.feature_dtype, has_targets=False, workers=4)
    assert [int(indices[0]) for indices, _ in stream] == list(range(2, 10))


def test_an_exception_of_a_batch_arrives_as_it_is():
    def make_batch(number):
        time.sleep(0.05 if number == 0 else 0)
        raise LookupError(f"video {number} vanished")

    stream = BatchStream(make_batch, range(3), np.float32, has_targets=False, workers=3)
    with pytest.raises(LookupError, match="video 0 vanished"):
        list(stream)


def test_leaving_a_stream_early_is_harmless(source):
    for _ in range(3):
        for _ in train_batches(source, num_steps=1000, **settings(source)):
            break
