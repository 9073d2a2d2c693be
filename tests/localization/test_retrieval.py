"""The formula of retrieval against the NumPy reference and in cases by hand."""

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contextloc_jax.localization.retrieval import retrieve, unit
from tests.helpers.random_videos import SNIPPETS, largest_difference, properties, random_features, videos
from tests.helpers.retrieved_videos import padded_video, reference_retrieval, without_padding

retrieve_float32 = jax.jit(retrieve, static_argnames="dtype")


@properties
@given(videos())
def test_retrieval_is_the_reference(video):
    found = without_padding(retrieve_float32(*padded_video(video)), video)
    assert largest_difference(found, reference_retrieval(video)) < 2e-6
    with jax.enable_x64(True):
        features, *rest = padded_video(video)
        found = without_padding(retrieve_float32(features.astype(np.float64), *rest, dtype="float64"), video)
    assert largest_difference(found, reference_retrieval(video)) < 1e-13


@properties
@given(videos(), st.sampled_from([7.0, -1e30, np.inf, np.nan]))
def test_padded_snippets_change_no_bit(video, fill):
    plain, changed = (without_padding(retrieve_float32(*padded_video(video, fill=f)), video) for f in (0.0, fill))
    assert all(np.array_equal(a, b) for a, b in zip(plain, changed, strict=True))


@properties
@given(videos())
def test_a_larger_bucket_agrees(video):
    small, large = (without_padding(retrieve_float32(*padded_video(video, n)), video) for n in (SNIPPETS, 4 * SNIPPETS))
    assert largest_difference(large, small) < 1e-5


@pytest.mark.parametrize("last", [2, 1, 0, -5])
def test_a_single_snippet_has_one_key_with_its_plain_relevance(last):
    features = np.array([[0, 1], [3, 0], [0.6, 0.8]], np.float32)
    found = retrieve_float32(features, np.int32(3), np.array([[2, last]], np.int32))
    relevance = (0.6 * 3 + 0.8) / np.sqrt(10)  # of (.6, .8) and g = (3, 1)
    assert np.allclose(found.video, [3, 1])
    assert np.allclose(found.query, [[0.6, 0.8]])
    assert np.allclose(found.local, relevance * np.array([3, 1]))
    assert np.allclose(found.adapted, relevance * np.array([0.6, 0.8]))


def test_several_snippets_share_a_relevance_of_one():
    features = np.array([[1, 0], [0, 1], [-1, 0]], np.float32)
    found = retrieve_float32(features, np.int32(3), np.array([[0, 1]], np.int32))
    cosine = 0.5**0.5  # of y = g = (1, 1) with either snippet
    mean = (np.array([1, 0]) * cosine + np.array([0, 1]) * cosine + np.array([1, 1])) / (2 * cosine + 1)
    assert np.allclose(found.query, [[1, 1]]) and np.allclose(found.video, [1, 1])
    assert np.allclose(found.local, mean) and np.allclose(found.adapted, mean)


def test_irrelevant_keys_are_left_out():
    """relu: a snippet that points away from the query has no weight, and none is negative."""
    features = np.array([[2, 1], [-3, -1], [0, 0]], np.float32)
    found = retrieve_float32(features, np.int32(3), np.array([[0, 1]], np.int32))
    assert np.allclose(found.query, [[2, 1]]) and np.allclose(found.local, [[2, 1]])


def test_one_snippet_in_the_video():
    features = np.array([[3, 4]], np.float32)
    found = retrieve_float32(features, np.int32(1), np.array([[0, -1], [0, 0]], np.int32))
    assert np.allclose(found.video, [3, 4])
    for part in (found.query, found.local, found.adapted):
        assert np.allclose(part, [[3, 4], [3, 4]])


def test_an_all_zero_query_retrieves_nothing():
    features = np.array([[0, 0], [0, 0], [5, 1]], np.float32)
    found = retrieve_float32(features, np.int32(3), np.array([[0, 1], [0, 0]], np.int32))
    for part in (found.query, found.local, found.adapted):
        assert np.array_equal(part, np.zeros((2, 2)))
    found = retrieve_float32(np.zeros((3, 2), np.float32), np.int32(3), np.array([[0, 1]], np.int32))
    assert not np.any(np.concatenate([part.ravel() for part in found]))


def test_norms_below_1e_6_count_as_1e_6():
    assert np.allclose(unit(np.array([[3e-7, 4e-7], [3e-6, 4e-6], [0, 0]])), [[0.3, 0.4], [0.6, 0.8], [0, 0]])


def test_half_precision_features_are_read_exactly():
    """Prepared features are stored as float16; a batch may hold them as they are."""
    half = random_features(np.random.default_rng(5), SNIPPETS, "signed").astype(np.float16)
    segments = np.array([[0, 5], [2, 6], [3, 3]], np.int32)
    found, expected = (retrieve_float32(x, np.int32(SNIPPETS), segments) for x in (half, half.astype(np.float32)))
    assert all(a.dtype == np.float32 and np.array_equal(a, b) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("flavour", ["signed", "rectified"])
def test_bfloat16_stays_near_and_sums_in_float32(flavour):
    rng = np.random.default_rng(4)
    features = random_features(rng, SNIPPETS, flavour)
    segments = np.array([[0, 5], [2, 6], [3, 3]], np.int32)
    exact = retrieve_float32(features, np.int32(SNIPPETS), segments)
    near = retrieve_float32(features, np.int32(SNIPPETS), segments, dtype="bfloat16")
    assert all(part.dtype == np.float32 for part in near)
    assert np.array_equal(near.query, exact.query)
    assert 0 < largest_difference(near, exact) < 0.02


# L-Net and G-Net
