"""Rows in groups, such as detections by video: the first row of a group, the place in it, the rows of each."""

import numpy as np


def first_of_group(group: np.ndarray) -> np.ndarray:
    """[N] bool: True at the first of every run of equal values. group: [N], sorted."""
    first = np.ones(group.size, bool)
    first[1:] = group[1:] != group[:-1]
    return first


def places(group: np.ndarray) -> np.ndarray:
    """[N] int64: 0 for the first of its group, 1 for the next, ...; group [N] int, in any order."""
    order = np.argsort(group, kind="stable")
    first = np.flatnonzero(first_of_group(group[order]))
    place = np.empty(len(group), np.int64)
    place[order] = np.arange(len(group)) - np.repeat(first, np.diff(first, append=len(group)))
    return place


def rows_of_groups(rows: np.ndarray, group: np.ndarray, num_groups: int) -> list[np.ndarray]:
    """The row numbers of every group 0 .. num_groups - 1, in the order of `rows`.

    rows: [N], a permutation of the row numbers. group: [N] int, the group of every row.
    """
    rows = rows[np.argsort(group[rows], kind="stable")]
    return np.split(rows, np.cumsum(np.bincount(group, minlength=num_groups))[:-1]) if num_groups else []
