"""Hard NMS and Soft-NMS of all videos and classes at once.

Rows lie flat, sorted by group (one group a video and class) and decreasing score; one pass of the loop takes the best
row left of *every* group, so that the number of passes is that of the fullest group, not of all of them.
Equal scores: the earlier start, then the earlier end, then the earlier row goes first.
"""

import numpy as np

from contextloc_jax.core.segments import first_of_group, tiou_of

MIN_DECAY = 1e-3  # Soft-NMS: share of its first score below which a row is dropped


def nms(segments: np.ndarray, scores: np.ndarray, groups: np.ndarray, tiou: float) -> np.ndarray:
    """Rows kept by greedy non-maximum suppression (golden nms*_out): by group, then decreasing score.

    segments [N, 2] in any one unit, scores [N], groups [N] int. A row is dropped when its tIoU with a kept row of its
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
    # Passes interleave the groups; within a group they already run by decreasing score.
    return rows[np.argsort(groups[rows], kind="stable")]


def soft_nms(
    segments: np.ndarray, scores: np.ndarray, groups: np.ndarray, method: str, tiou: float, sigma: float
) -> tuple[np.ndarray, np.ndarray]:
    """Rows and lowered scores of Soft-NMS (Bodla et al., ICCV 2017): by group, then decreasing score.

    Each row kept multiplies the scores of the rest of its group: 'linear' by 1 - tIoU where the tIoU is above
    `tiou`; 'gaussian' by exp(-tIoU^2 / sigma). Rows that fall below MIN_DECAY of the score they came with are
    dropped: a relative bound, so that rescaling all scores changes nothing.
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
