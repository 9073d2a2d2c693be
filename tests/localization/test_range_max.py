"""Maxima of ranges against plain maxima of slices."""

import jax
import numpy as np
import pytest

from contextloc_jax.localization.range_max import range_max


@pytest.mark.parametrize("rows", [1, 2, 3, 8, 9, 17])
def test_range_max_of_every_range(rows):
    values = np.random.default_rng(rows).standard_normal((rows, 3)).astype(np.float32)
    ranges = [(first, last) for first in range(rows) for last in range(first, rows)]
    found = jax.jit(range_max)(values, *np.array(ranges, np.int32).T)
    assert np.array_equal(found, [values[first : last + 1].max(axis=0) for first, last in ranges])


def test_range_max_across_blocks():
    random = np.random.default_rng(0)
    values = random.standard_normal((203, 3)).astype(np.float32)
    first, last = np.sort(random.integers(0, 203, (2, 2000)), axis=0).astype(np.int32)
    found = jax.jit(range_max)(values, first, last)
    assert np.array_equal(found, [values[a : b + 1].max(axis=0) for a, b in zip(first, last, strict=True)])
