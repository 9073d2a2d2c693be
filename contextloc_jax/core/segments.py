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
    shared = np.minimum(end, other_end) - np.maximum(start, other_start)
    return np.maximum(shared + 1 if inclusive else shared, 0)


def tiou_of(
    start: np.ndarray, end: np.ndarray, other_start: np.ndarray, other_end: np.ndarray, inclusive: bool = False
) -> np.ndarray:
    """tIoU (temporal intersection over union) of segments with others, element by element; 0 where disjoint.

    Arrays of one shape or broadcast, in any one unit. inclusive: lengths are end - start + 1. Two identical segments
    of length zero have 1, as any segment has with itself; the official codes compute 0 / 0 there and then suppress
    or match the pair, which is the same.
    """
    shared = overlap_of(start, end, other_start, other_end, inclusive)
    if inclusive:
        return shared / ((end - start + 1) + (other_end - other_start + 1) - shared)
    union = (end - start) + (other_end - other_start) - shared
    same_point = (union == 0) & (start == other_start)
    return np.where(same_point, 1.0, shared / np.where(union == 0, 1.0, union))


def pairwise(
    function: Callable[..., np.ndarray], segments: np.ndarray, others: np.ndarray, **options: bool
) -> np.ndarray:
    """function(start, end, other_start, other_end, **options) of every segment with every other.

    segments [M, 2], others [N, 2] -> [M, N]. `tiou_of` and `overlap_of` are such functions.
    """
    return function(segments[:, :1], segments[:, 1:], others[None, :, 0], others[None, :, 1], **options)


def first_of_group(group: np.ndarray) -> np.ndarray:
    """True where a run of equal values starts; `group` is sorted."""
    first = np.ones(group.size, bool)
    first[1:] = group[1:] != group[:-1]
    return first
