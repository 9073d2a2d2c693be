"""Segments in time: the one tIoU of the project, in its two conventions.

Segments of real intervals have the length end - start: NMS, average precision, labels of proposals. Segments that
count frames inclusively have the length end - start + 1: relations between proposals (golden "sampling").
"""

from collections.abc import Callable

import numpy as np


def overlap_of(
    start: np.ndarray, end: np.ndarray, other_start: np.ndarray, other_end: np.ndarray, inclusive: bool = False
) -> np.ndarray:
    """Length that segments share with others, element by element; arrays of one shape or broadcast."""
    return np.maximum(np.minimum(end, other_end) - np.maximum(start, other_start) + inclusive, 0)


def tiou_of(
    start: np.ndarray, end: np.ndarray, other_start: np.ndarray, other_end: np.ndarray, inclusive: bool = False
) -> np.ndarray:
    """tIoU (temporal intersection over union) of segments with others, element by element; 0 where disjoint.

    Arrays of one shape or broadcast, in any one unit. inclusive: lengths are end - start + 1. Two identical segments
    of length zero have 1, as any segment has with itself; the official codes compute 0 / 0 there and then suppress
    or match the pair, which is the same.
    """
    shared = overlap_of(start, end, other_start, other_end, inclusive)
    union = (end - start) + (other_end - other_start) + 2 * inclusive - shared
    if inclusive:
        return shared / union
    same_point = (union == 0) & (start == other_start)
    return np.where(same_point, 1.0, shared / np.where(union == 0, 1.0, union))


def pairwise(
    function: Callable[..., np.ndarray], segments: np.ndarray, others: np.ndarray, inclusive: bool = False
) -> np.ndarray:
    """`tiou_of` or `overlap_of` of every segment with every other: [M, 2], [N, 2] -> [M, N]."""
    start, end = segments[:, :1], segments[:, 1:]
    return function(start, end, others[None, :, 0], others[None, :, 1], inclusive)


def first_of_group(group: np.ndarray) -> np.ndarray:
    """True where a run of equal values starts; `group` is sorted."""
    first = np.ones(group.size, bool)
    first[1:] = group[1:] != group[:-1]
    return first
