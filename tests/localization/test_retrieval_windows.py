"""Retrieval by windows against the plain formula."""

import jax
import numpy as np
import pytest

from contextloc_jax.localization.retrieval import retrieve
from contextloc_jax.localization.retrieval_windows import retrieve_by_windows
from tests.helpers.random_videos import largest_difference, random_features


@pytest.mark.parametrize(
    ("snippets", "count", "longest"), [(600, 504, 40), (600, 61, 599), (129, 100, 8), (1500, 30, 1)]
)
def test_windows_change_nothing(snippets, count, longest):
    """Also where some segments are as long as the video, single, reversed, or the last group is not full."""
    random = np.random.default_rng(snippets)
    features = random_features(random, snippets, "signed")
    first = random.integers(0, snippets - 1, count)
    last = np.minimum(first + random.integers(-2, longest + 1, count), snippets - 2)
    arguments = features, np.int32(snippets - 1), np.stack([first, last], axis=1).astype(np.int32)
    found, expected = (jax.jit(form)(*arguments) for form in (retrieve_by_windows, retrieve))
    assert largest_difference(found, expected) < 2e-6
