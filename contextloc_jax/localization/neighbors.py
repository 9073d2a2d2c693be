"""The proposals that a proposal is related to: candidates by tIoU and by distance, and the draws among them.

Nodes are the segments of one video in whole frames; the geometry counts frames inclusively, hence the
+1 (golden "sampling": `segment_tiou`, `segment_distance`, candidates). Training and test share all of it.
"""

import numpy as np

TIOU_THRESHOLD = 0.7
TIOU_CANDIDATES, DISTANCE_CANDIDATES = 8, 2
CHILDREN = 4
TREE_NODES = 1 + CHILDREN + CHILDREN * CHILDREN
_ROWS_AT_ONCE = 128  # bounds memory at 128 x M and keeps the blocks of M = 1000 in cache


def segment_tiou(segments: np.ndarray, others: np.ndarray | None = None) -> np.ndarray:
    """tIoU of every segment with every other: [M, 2], [N, 2] (default: the same) -> [M, N] float64, +1 rule."""
    (start, end), (other_start, other_end) = _bounds(segments, others)
    overlap = np.maximum(np.minimum(end, other_end) - np.maximum(start, other_start) + 1, 0)
    return overlap / ((end - start + 1) + (other_end - other_start + 1) - overlap)


def segment_distance(segments: np.ndarray, others: np.ndarray | None = None) -> np.ndarray:
    """|center difference| / length of the span of both, +1 rule: [M, 2], [N, 2] -> [M, N] float64 in [0, 1)."""
    (start, end), (other_start, other_end) = _bounds(segments, others)
    span = np.maximum(end, other_end) - np.minimum(start, other_start) + 1
    return np.abs((start + end) / 2 - (other_start + other_end) / 2) / span


def neighbor_candidates(segments: np.ndarray) -> np.ndarray:
    """[M, 2] frames -> [M, 10] int32 node indices: 8 by tIoU, then 2 by distance (golden "sampling": candidates).

    The 8 are the other nodes with tIoU > 0.7 by decreasing tIoU, the 2 the nearest disjoint ones; fewer are repeated
    in order, and a node without any stands for itself. Equal values go by lower index, where the authors' unstable
    sort leaves the order open; and "self" is always the node itself, where the authors' test code may take a
    duplicate of it.
    """
    segments = np.asarray(segments).reshape(-1, 2)
    candidates = np.empty((len(segments), TIOU_CANDIDATES + DISTANCE_CANDIDATES), np.int32)
    for first in range(0, len(segments), _ROWS_AT_ONCE):
        nodes = np.arange(first, min(first + _ROWS_AT_ONCE, len(segments)))
        tiou = segment_tiou(segments[nodes], segments)
        distance = segment_distance(segments[nodes], segments)
        tiou[np.arange(len(nodes)), nodes] = 0.0
        overlapping = np.where(tiou > TIOU_THRESHOLD, tiou, -np.inf)
        disjoint = np.where((tiou <= 0) & (distance > 0), -distance, -np.inf)
        candidates[nodes, :TIOU_CANDIDATES] = _best(overlapping, TIOU_CANDIDATES, nodes)
        candidates[nodes, TIOU_CANDIDATES:] = _best(disjoint, DISTANCE_CANDIDATES, nodes)
    return candidates


def draw_tree(center: int, candidates: np.ndarray, draws) -> np.ndarray:
    """The 21 nodes [21] int32 of one tree: the center, its 4 children, then the 4 children of each of those in turn.

    The children of a node are the first 4 of its shuffled candidates; entry r's children are entries 4r+1..4r+4
    (golden "sampling"). `draws` as in sampling.py. A node may occur several times.
    """
    tree = np.empty(TREE_NODES, np.int32)
    tree[0] = center
    for row in range(CHILDREN + 1):
        tree[CHILDREN * row + 1 : CHILDREN * (row + 1) + 1] = _children(candidates[tree[row]], draws)
    return tree


def draw_neighbors(candidates: np.ndarray, draws) -> np.ndarray:
    """[N, 10] candidates -> [N, 4] int32: one draw of 4 for every node, shared by all trees that the node is in.

    For evaluation: every layer of the graph is then computed once a node instead of once a tree.
    """
    neighbors = np.empty((len(candidates), CHILDREN), np.int32)
    for node, row in enumerate(candidates):
        neighbors[node] = _children(row, draws)
    return neighbors


def tree_hops(trees: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """[C, 21] trees -> Batch's first_hop [5 C, 5] (every inner node, then its children) and second_hop [C, 5]."""
    inner = CHILDREN + 1
    places = [[row, *range(CHILDREN * row + 1, CHILDREN * (row + 1) + 1)] for row in range(inner)]
    first_hop = np.asarray(trees, np.int32)[:, places].reshape(-1, inner)
    return first_hop, np.arange(len(first_hop), dtype=np.int32).reshape(-1, inner)


def _children(candidates: np.ndarray, draws) -> np.ndarray:
    shuffled = candidates.copy()
    draws.shuffle(shuffled)
    return shuffled[:CHILDREN]


def _best(scores: np.ndarray, count: int, fallback: np.ndarray) -> np.ndarray:
    """[R, M] -> [R, count] columns by decreasing score, cycling through the finite ones; fallback [R] where none.

    Overwrites `scores`. A few argmax sweeps are faster than a sort or partition of M = 1000 and settle ties: the
    first maximum wins.
    """
    rows = np.arange(len(scores))
    found = np.isfinite(scores).sum(axis=1)
    best = np.empty((len(scores), count), np.int64)
    for rank in range(count):
        best[:, rank] = scores.argmax(axis=1)
        scores[rows, best[:, rank]] = -np.inf
    cycled = np.arange(count) % np.clip(found, 1, count)[:, None]
    return np.where(found[:, None] > 0, np.take_along_axis(best, cycled, axis=1), fallback[:, None])


def _bounds(segments, others):
    """Starts and ends as columns [M, 1] and rows [1, N]."""
    segments = np.asarray(segments, np.float64).reshape(-1, 2)
    others = segments if others is None else np.asarray(others, np.float64).reshape(-1, 2)
    return (segments[:, :1], segments[:, 1:]), (others[None, :, 0], others[None, :, 1])
