"""Segments in time: the only tIoU of the project, in its two conventions.

NMS, average precision and the labels of proposals use intervals of real numbers, whose length is end - start. Relations
between proposals use whole frames with both ends included, so the length is end - start + 1 (golden "sampling").
"""

from collections.abc import Callable

import numpy as np


def overlap_of(
    start: np.ndarray, end: np.ndarray, other_start: np.ndarray, other_end: np.ndarray, inclusive: bool = False
) -> np.ndarray:
    """Length of the overlap of segments and others, element by element; 0 where they are disjoint.

    Arrays of one shape, or shapes that broadcast, in any one unit. inclusive: lengths are end - start + 1.
    """
    shared = np.minimum(end, other_end) - np.maximum(start, other_start)
    return np.maximum(shared + 1 if inclusive else shared, 0)


def tiou_of(
    start: np.ndarray, end: np.ndarray, other_start: np.ndarray, other_end: np.ndarray, inclusive: bool = False
) -> np.ndarray:
    """tIoU (temporal intersection over union) of segments and others, element by element; 0 where they are disjoint.

    Arrays of one shape, or shapes that broadcast, in any one unit. inclusive: lengths are end - start + 1. Two
    identical segments of length zero have tIoU 1, like every segment with itself. The official codes compute 0 / 0
    there, and then suppress or match the pair, which has the same effect.
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
    """function(start, end, other_start, other_end, **options) for every pair of a segment and an other segment.

    segments [M, 2], others [N, 2] -> [M, N]. `tiou_of` and `overlap_of` are such functions.
    """
    return function(segments[:, :1], segments[:, 1:], others[None, :, 0], others[None, :, 1], **options)
