"""Sizes of padded batches."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from input_pipeline.batches.shapes import power_of_two, usual_length, usual_nodes


@pytest.mark.parametrize(("number", "expected"), [(0, 1), (1, 1), (2, 2), (3, 4), (1024, 1024), (1025, 2048)])
def test_power_of_two(number, expected):
    assert power_of_two(number) == expected
    assert power_of_two(number, 64) == max(64, expected)


@pytest.mark.parametrize(("sampled", "room"), [([5, 27], 32), ([28], 64), ([82, 37], 96), ([111], 128), ([112], 168)])
def test_usual_nodes(sampled, room):
    assert usual_nodes(np.array(sampled), 168) == room


@given(
    lengths=st.lists(st.integers(1, 3000), min_size=1, max_size=60).map(np.array),
    batch_size=st.integers(1, 40),
    seed=st.integers(0, 9),
)
def test_usual_length_holds_half_of_all_batches(lengths, batch_size, seed):
    usual = usual_length(lengths, batch_size)
    longest = np.random.default_rng(seed).choice(lengths, (2000, batch_size)).max(axis=1)
    assert (longest <= usual).mean() > 0.45
    assert usual == 1 or (longest <= usual // 2).mean() < 0.55
