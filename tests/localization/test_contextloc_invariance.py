"""What must not change a video's scores: padding, the order of proposals, copies of them, other videos."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contextloc_jax.core.structs import Scores
from tests.helpers import reference_model as reference
from tests.helpers.random_videos import (
    CENTERS,
    NODES,
    SNIPPETS,
    WIDTH,
    largest_difference,
    padded_batch,
    properties,
    videos,
)
from tests.helpers.small_models import full_video, model_of, padded64, rows_of, score, variables_of

few = settings(properties, max_examples=6)
pairs = st.tuples(videos(), videos())
invariant = pytest.mark.parametrize("name", ["contextloc", "non-local"])


@invariant
@pytest.mark.parametrize("train", [False, True])
@few
@given(pair=pairs, seed=st.integers(0, 1000))
def test_padded_values_change_no_bit(name, train, pair, seed):
    """Snippets (also nan), segments of absent nodes, hops of absent rows and of absent centers."""
    pair = [pair[0]._replace(trees=pair[0].trees[: CENTERS - 1]), pair[1]]
    garbage = np.random.default_rng(seed)
    plain, plain_stats = score(name, padded_batch(pair), train, "float32")
    changed, changed_stats = score(name, padded_batch(pair, garbage=garbage), train, "float32")
    for row, video in enumerate(pair):
        for a, b in zip(plain, changed, strict=True):
            assert np.array_equal(a[row, : len(video.trees)], b[row, : len(video.trees)])
    assert jax.tree.all(jax.tree.map(np.array_equal, plain_stats, changed_stats))


@invariant
@few
@given(video=videos())
def test_a_larger_bucket_agrees(name, video):
    small, _ = score(name, padded_batch([video]), dtype="float32")
    large, _ = score(name, padded_batch([video], 2 * SNIPPETS, 2 * NODES, 2 * CENTERS), dtype="float32")
    assert largest_difference(Scores(*(part[:, :CENTERS] for part in large)), small) < 1e-5


@invariant
@few
@given(pair=pairs)
def test_a_video_scores_the_same_in_any_company(name, pair):
    together, _ = score(name, padded_batch(pair), dtype="float32")
    for row, video in enumerate(pair):
        alone, _ = score(name, padded_batch([video]), dtype="float32")
        assert largest_difference(alone, Scores(*(part[row : row + 1] for part in together))) < 1e-5


@pytest.mark.parametrize("name, train", [("contextloc", True), ("non-local", False)])
@few
@given(video=videos(), seed=st.integers(0, 1000))
def test_permuting_proposals_permutes_scores(name, train, video, seed):
    rng = np.random.default_rng(seed)
    nodes, centers = rng.permutation(len(video.segments)), rng.permutation(CENTERS)
    permuted = video._replace(
        segments=video.segments[nodes],
        counts=video.counts[nodes],
        trees=np.argsort(nodes)[video.trees[centers]],
    )
    (found, stats), (plain, plain_stats) = (score(name, roomy([v]), train) for v in (permuted, video))
    assert largest_difference(found, Scores(*(part[:, centers] for part in plain))) < 1e-6
    assert largest_difference(stats, plain_stats) < 1e-12


def roomy(videos):
    """With room for every node twice."""
    return padded64(videos, num_nodes=2 * NODES)


@pytest.mark.parametrize("train", [False, True])
@few
@given(video=videos(), seed=st.integers(0, 1000))
def test_a_proposal_that_counts_twice_is_two_equal_proposals(train, video, seed):
    """Either copy may stand in any tree; BatchNorm weighs both ways alike."""
    count = len(video.segments)
    doubled = video._replace(counts=np.full(count, 2.0))
    copy = count * np.random.default_rng(seed).integers(0, 2, video.trees.shape)
    spelled = reference.Video(
        video.features, np.concatenate([video.segments] * 2), np.ones(2 * count), (video.trees + copy).astype(np.int32)
    )
    found, stats = score("contextloc", roomy([doubled]), train)
    expected, expected_stats = score("contextloc", roomy([spelled]), train)
    assert largest_difference(found, expected) < 1e-6
    assert largest_difference(stats, expected_stats) < 1e-12


def test_nonlocal_attends_to_every_proposal_once():
    """However often trees hold a proposal (its BatchNorm count), and only to proposals that are there (count 0)."""
    video = full_video(np.random.default_rng(1))
    found, _ = score("non-local", roomy([video]))
    again, _ = score("non-local", roomy([video._replace(counts=np.full(NODES, 3.0))]))
    assert all(np.array_equal(a, b) for a, b in zip(found, again, strict=True))
    counts = np.where(np.isin(np.arange(NODES), video.trees[:, 0]), 1.0, 0.0)
    fewer, _ = score("non-local", roomy([video._replace(counts=counts)]))
    assert np.sum(counts) < NODES and largest_difference(fewer, found) > 1e-6


def test_one_snippet_in_the_video():
    """All segments are then that snippet, so every proposal scores alike."""
    segments = np.stack([np.zeros((NODES, 3)), -np.ones((NODES, 3))], axis=-1).astype(np.int32)
    rng = np.random.default_rng(0)
    video = reference.Video(rng.random((1, WIDTH)), segments, np.ones(NODES), rng.integers(0, NODES, (CENTERS, 21)))
    found, _ = score("contextloc", roomy([video]))
    expected, _ = reference.score(variables_of("contextloc"), [video], model_of("contextloc"))
    assert largest_difference(found, rows_of(expected)) < 1e-11
    assert largest_difference(found, jax.tree.map(lambda part: np.repeat(part[:, :1], CENTERS, axis=1), found)) < 1e-12
