"""Hard NMS and Soft-NMS of all videos and classes at once.

All rows are in one flat array. A group is one class of one video. Rows are sorted by group, then by decreasing score.
One pass of the loop takes the best remaining row of *every* group. So the largest group sets the number of passes, not
all groups together. Among equal scores, the earlier start goes first, then the earlier end, then the earlier row.
"""

import numpy as np

from contextloc_jax.core.groups import first_of_group
from contextloc_jax.core.segments import tiou_of

MIN_DECAY = 1e-3  # Soft-NMS drops a row whose score falls below this share of its first score


def nms(segments: np.ndarray, scores: np.ndarray, groups: np.ndarray, tiou: float) -> np.ndarray:
    """Row numbers kept by greedy non-maximum suppression (golden nms*_out), by group, then by decreasing score.

    segments [N, 2] in any one unit, scores [N], groups [N] int. A row is dropped if its tIoU with a kept row of its
    group is above `tiou`.
    """
    order = _best_first(segments, scores, groups)
    kept = []
    (start, end), group = segments[order].T, groups[order]
    while order.size:
        first = first_of_group(group)
        heads = np.flatnonzero(first)
        kept.append(order[heads])
        head = heads[np.cumsum(first) - 1]
        left = np.flatnonzero(~first & (tiou_of(start[head], end[head], start, end) <= tiou))
        order, start, end, group = order[left], start[left], end[left], group[left]
    rows = np.concatenate([np.zeros(0, np.int64), *kept])
    # The passes mix the groups. Within a group, the rows are already in the order of decreasing score.
    return rows[np.argsort(groups[rows], kind="stable")]


def soft_nms(
    segments: np.ndarray, scores: np.ndarray, groups: np.ndarray, method: str, tiou: float, sigma: float
) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers and lowered scores of Soft-NMS (Bodla et al., ICCV 2017), by group, then by decreasing score.

    Arguments as for `nms`. Every kept row multiplies the scores of the remaining rows of its group: 'linear' by
    1 - tIoU where the tIoU is above `tiou`; 'gaussian' by exp(-tIoU^2 / sigma). Rows whose score falls below MIN_DECAY
    of their first score are dropped. This bound is relative: scaling all scores does not change which rows are kept.
    """
    order = _best_first(segments, scores, groups)
    (start, end), group, score = segments[order].T, groups[order], scores[order].astype(np.float64)
    floor = score * MIN_DECAY
    kept, kept_scores = [], []
    while order.size:
        first = first_of_group(group)
        group_of = np.cumsum(first) - 1
        best = np.maximum.reduceat(score, np.flatnonzero(first))
        tops = np.flatnonzero(score == best[group_of])
        tops = tops[first_of_group(group[tops])]
        kept.append(order[tops])
        kept_scores.append(score[tops])
        head = tops[group_of]
        overlap = tiou_of(start[head], end[head], start, end)
        decay = np.where(overlap > tiou, 1 - overlap, 1.0) if method == "linear" else np.exp(-(overlap**2) / sigma)
        score = score * decay
        alive = score >= floor
        alive[tops] = False
        left = np.flatnonzero(alive)
        order, start, end, group, score, floor = (a[left] for a in (order, start, end, group, score, floor))
    rows = np.concatenate([np.zeros(0, np.int64), *kept])
    by_group = np.argsort(groups[rows], kind="stable")
    return rows[by_group], np.concatenate([np.zeros(0), *kept_scores])[by_group]


def _best_first(segments: np.ndarray, scores: np.ndarray, groups: np.ndarray) -> np.ndarray:
    return np.lexsort((segments[:, 1], segments[:, 0], -scores, groups))
