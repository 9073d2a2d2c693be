"""Scores of every video once, compiled once a bucket, whatever pads a batch."""

import dataclasses
import functools

import jax
import numpy as np
import pytest

from contextloc_jax.commands.trained import make_inference
from contextloc_jax.devices.mesh import MeshParallel
from contextloc_jax.localization.video_scores import Video, to_video_scores
from input_pipeline.batches.evaluation_batches import EvaluationBatches
from input_pipeline.datasets.video_source import source_from_arrays, video_facts
from tests.helpers.compiling import quickly_compiled
from tests.helpers.random_videos import largest_difference
from tests.helpers.tiny_runs import CLASSES, tiny_video
from tests.helpers.virtual_devices import ALIGN, first_state, tiny_model

pytestmark = pytest.mark.usefixtures("quick_compiler")
MODEL = tiny_model("dropout")
PROPOSAL_FIELDS = ("proposals", "proposal_labels", "proposal_tiou", "proposal_overlap_self", "proposal_coverage")
STATS = np.array([[0.1, -0.2], [2.0, 3.0]])


@functools.cache
def videos():
    """A source with videos of two buckets."""
    found = [tiny_video(f"video{i}", num_snippets=length) for i, length in enumerate((40, 100, 36))]
    return source_from_arrays(*zip(*found, strict=True), CLASSES)


def batches(videos_per_batch=2):
    """All batches; the last row of each bucket may be padding."""
    made = EvaluationBatches(videos(), seed=0, align=ALIGN, videos_per_batch=videos_per_batch)
    return [made.batch(number) for number in range(len(made))]


def scores(inference, source, made, stats=STATS):
    """The inference's scores of every video of these batches of a source."""
    facts = video_facts(source)
    return [to_video_scores(row, Video(*facts(i)), stats) for i, row in inference(first_state().variables, made)]


@functools.cache
def predicted():
    """Scores by video id, and how many programs were compiled for them."""
    compiled = []
    jax.monitoring.register_event_duration_secs_listener(
        lambda event, seconds, **_: compiled.append(event) if event.endswith("backend_compile_duration") else None
    )
    inference = make_inference(MeshParallel(), MODEL)
    first_state()
    compiled.clear()
    first, again = (scores(inference, videos(), batches()) for _ in range(2))
    jax.monitoring.clear_event_listeners()
    return first, again, len(compiled)


def test_every_video_comes_once_and_padding_never():
    assert [indices.tolist() for indices, _ in batches()] == [[0, 2], [1, -1]]
    assert [video.video_id for video in predicted()[0]] == ["video0", "video2", "video1"]


def test_scores_carry_the_videos_facts():
    records = {record.video_id: record for record in videos().records}
    for video in predicted()[0]:
        record = records[video.video_id]
        assert video.duration_seconds == record.num_frames / 25
        assert np.array_equal(video.proposals, record.proposals / record.num_frames)
        count = len(record.proposals)
        assert video.activity.shape == (count, 3) and video.completeness.shape == (count, 2)
        assert video.regression.shape == (count, 2, 2)


def test_scores_are_the_models_and_regression_is_in_the_targets_unit():
    score = quickly_compiled(lambda batch: MODEL.apply(first_state().variables, batch))
    found = {video.video_id: video for video in predicted()[0]}
    for indices, batch in batches()[:1]:
        expected = score(batch)
        for row, index in enumerate(indices):
            video = found[f"video{index}"]
            count = len(video.proposals)
            assert largest_difference(video.activity, expected.activity[row, :count]) < 1e-5
            assert largest_difference(video.completeness, expected.completeness[row, :count]) < 1e-5
            regression = np.asarray(expected.regression[row, :count], np.float64) * [2, 3] + [0.1, -0.2]
            assert largest_difference(video.regression, regression) < 1e-5


def test_every_bucket_is_compiled_once_though_it_comes_twice():
    first, again, compiled = predicted()
    assert compiled == 2
    for a, b in zip(first, again, strict=True):
        assert a.video_id == b.video_id and np.array_equal(a.activity, b.activity)


def test_a_video_without_proposals_has_no_scores():
    record, features = tiny_video("empty")
    record = dataclasses.replace(record, **{name: getattr(record, name)[:0] for name in PROPOSAL_FIELDS})
    source = source_from_arrays([record], [features], CLASSES)
    made = EvaluationBatches(source, seed=0, align=ALIGN, videos_per_batch=2)
    (video,) = scores(make_inference(MeshParallel(), MODEL), source, [made.batch(0)])
    assert video.video_id == "empty" and video.activity.shape == (0, 3) and video.regression.shape == (0, 2, 2)


@pytest.mark.parametrize("stats", [np.array([[0.0, 0.0], [1.0, 1.0]]), np.array([[5.0, -5.0], [0.5, 4.0]])])
def test_scores_do_not_depend_on_the_statistics_but_regression_does(stats):
    changed = scores(make_inference(MeshParallel(), MODEL), videos(), batches()[:1], stats)[0]
    base = predicted()[0][0]
    assert np.array_equal(changed.activity, base.activity)
    raw = (base.regression - STATS[0]) / STATS[1]
    assert np.allclose(changed.regression, raw * stats[1] + stats[0], atol=1e-6)
