"""The kernel of retrieval against the plain formula and the NumPy reference."""

from functools import partial

import jax
import numpy as np
import pytest
from hypothesis import given

from contextloc_jax.localization.retrieval import retrieve
from contextloc_jax.localization.retrieval_kernel import retrieve_in_kernel
from tests.helpers.random_videos import largest_difference, properties, videos
from tests.helpers.retrieved_videos import padded_video, reference_retrieval, without_padding

retrieved_in_kernel = jax.jit(
    partial(retrieve_in_kernel, interpret=jax.default_backend() != "gpu"), static_argnames="dtype"
)


@pytest.mark.parametrize("width", [1, 48])  # of features, which the kernel pads to a power of two
@pytest.mark.parametrize("kind", [np.float16, np.float32])
def test_the_kernel_is_the_products(width, kind):
    """On a GPU itself, elsewhere as Pallas interprets it; padded snippets and segments of padding harm nothing."""
    random = np.random.default_rng(width)
    snippets, segments = np.array([40, 33, 1], np.int32), 30
    features = random.standard_normal((3, 40, width)).astype(kind)
    features[:, :, 0] = np.maximum(features[:, :, 0], 0)
    features[np.arange(40) >= snippets[:, None]] = np.nan
    first = random.integers(0, snippets[:, None], (3, segments))
    last = np.clip(first + random.integers(-2, 40, first.shape), -1, np.maximum(snippets[:, None] - 2, first))
    arguments = features, snippets, np.stack([first, last], axis=-1).astype(np.int32)
    found = retrieved_in_kernel(*arguments)
    assert all(part.dtype == np.float32 for part in found)
    with jax.default_matmul_precision("highest"):
        assert largest_difference(found, jax.jit(jax.vmap(retrieve))(*arguments)) < 1e-6
    beyond = np.concatenate([arguments[2], np.full((3, 1, 2), 39, np.int32)], axis=1)  # a segment of padding
    again = retrieved_in_kernel(features, snippets, beyond)
    assert all(np.isfinite(part).all() for part in again)
    assert np.array_equal(again.local[:, :segments], found.local)


@properties
@given(videos())
def test_the_kernel_is_the_reference(video):
    features, *rest = (np.asarray(a)[None] for a in padded_video(video, fill=np.nan))
    expected = reference_retrieval(video)
    found = retrieved_in_kernel(features, *rest)
    assert largest_difference(without_padding(jax.tree.map(lambda a: a[0], found), video), expected) < 2e-6
    with jax.enable_x64(True):
        found = retrieved_in_kernel(features.astype(np.float64), *rest, dtype="float64")
    assert largest_difference(without_padding(jax.tree.map(lambda a: a[0], found), video), expected) < 1e-13
