"""Rows in groups."""

import numpy as np
import pytest

from contextloc_jax.core.groups import first_of_group, places, rows_of_groups


@pytest.mark.parametrize(
    ("group", "expected"), [([], []), ([4], [True]), ([0, 0, 1, 3, 3], [True, False, True, True, False])]
)
def test_the_first_row_of_every_group(group, expected):
    assert first_of_group(np.array(group, int)).tolist() == expected


def test_places_count_within_a_group_in_any_order():
    assert places(np.array([2, 0, 2, 2, 0])).tolist() == [0, 0, 1, 2, 1]
    assert places(np.zeros(0, int)).tolist() == []


def test_the_rows_of_every_group_keep_their_order():
    rows, group = np.array([3, 0, 2, 1]), np.array([2, 0, 2, 2])
    assert [found.tolist() for found in rows_of_groups(rows, group, 4)] == [[1], [], [3, 0, 2], []]
