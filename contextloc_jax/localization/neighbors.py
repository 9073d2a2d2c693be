"""The neighbors of a proposal: candidates by tIoU and by distance, and random draws from them.

Nodes are the segments of one video, in whole frames with both ends included, so the length of a segment is
end - start + 1 (golden "sampling": tIoU, distance, candidates). Training and test use the same rules.
"""

import numpy as np

from contextloc_jax.core.segments import pairwise, tiou_of
from contextloc_jax.localization.tree import CHILDREN, FAMILIES, INNER_NODES, TREE_NODES

TIOU_THRESHOLD = 0.7  # P-GCN's rule, not a setting
TIOU_CANDIDATES, DISTANCE_CANDIDATES = 8, 2
_PLACES = np.array(FAMILIES)
_CHILDREN_OF = [(parent, slice(children[0], children[-1] + 1)) for parent, *children in FAMILIES]
_ROWS_AT_ONCE = 128  # limits memory to 128 x M, and for M = 1000 the blocks stay in the cache


def distance_of(start, end, other_start, other_end) -> np.ndarray:
    """|center difference| / length of the span of both segments, in [0, 1), element by element.

    Frames, with both ends included. Arrays of one shape, or shapes that broadcast, as for `core.segments.tiou_of`;
    `pairwise` computes all pairs.
    """
    span = np.maximum(end, other_end) - np.minimum(start, other_start) + 1
    return np.abs((start + end) / 2 - (other_start + other_end) / 2) / span


def neighbor_candidates(segments: np.ndarray) -> np.ndarray:
    """[M, 2] frames -> [M, 10] int32 node indices: 8 by tIoU, then 2 by distance (golden "sampling": candidates).

    The 8 are the other nodes with tIoU > 0.7, by decreasing tIoU. The 2 are the nearest disjoint nodes. If there are
    fewer, they are repeated in order. If there are none, the node itself is used. Two rules are stricter than in the
    authors' code: among equal values, the lower index goes first (their sort leaves the order open); and "itself" is
    always the same node (their test code may use a duplicate of it).
    """
    segments = np.asarray(segments, np.float64).reshape(-1, 2)
    candidates = np.empty((len(segments), TIOU_CANDIDATES + DISTANCE_CANDIDATES), np.int32)
    for first in range(0, len(segments), _ROWS_AT_ONCE):
        nodes = np.arange(first, min(first + _ROWS_AT_ONCE, len(segments)))
        tiou = pairwise(tiou_of, segments[nodes], segments, inclusive=True)
        distance = pairwise(distance_of, segments[nodes], segments)
        tiou[np.arange(len(nodes)), nodes] = 0.0
        overlapping = np.where(tiou > TIOU_THRESHOLD, tiou, -np.inf)
        disjoint = np.where((tiou <= 0) & (distance > 0), -distance, -np.inf)
        candidates[nodes, :TIOU_CANDIDATES] = _best(overlapping, TIOU_CANDIDATES, nodes)
        candidates[nodes, TIOU_CANDIDATES:] = _best(disjoint, DISTANCE_CANDIDATES, nodes)
    return candidates


def draw_tree(center: int, candidates: np.ndarray, draws) -> np.ndarray:
    """The 21 nodes [21] int32 of one tree, in the order of tree.py.

    candidates: [M, 10] int32. draws: an object with `shuffle(array) -> None` (in place). The children of a node are
    the first 4 of its shuffled candidates (golden "sampling"). A node may occur several times.
    """
    tree = np.empty(TREE_NODES, np.int32)
    tree[0] = center
    for parent, children in _CHILDREN_OF:
        tree[children] = _children(candidates[tree[parent]], draws)
    return tree


def draw_neighbors(candidates: np.ndarray, draws) -> np.ndarray:
    """[N, 10] candidates -> [N, 4] int32: one draw of 4 neighbors for every node, the same in all trees.

    Evaluation uses it: every layer of the graph is then computed once per node instead of once per tree.
    """
    neighbors = np.empty((len(candidates), CHILDREN), np.int32)
    for node, row in enumerate(candidates):
        neighbors[node] = _children(row, draws)
    return neighbors


def tree_hops(trees: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """[C, 21] trees -> Batch's first_hop [5 C, 5] (an inner node, then its children) and second_hop [C, 5]; int32."""
    first_hop = np.asarray(trees, np.int32)[:, _PLACES].reshape(-1, 1 + CHILDREN)
    return first_hop, np.arange(len(first_hop), dtype=np.int32).reshape(-1, INNER_NODES)


def _children(candidates: np.ndarray, draws) -> np.ndarray:
    shuffled = candidates.copy()
    draws.shuffle(shuffled)
    return shuffled[:CHILDREN]


def _best(scores: np.ndarray, count: int, fallback: np.ndarray) -> np.ndarray:
    """The best columns of every row: scores [R, M] -> [R, count], by decreasing score.

    If a row has fewer finite scores, their columns are repeated in order; if it has none, `fallback` [R] is used.
    Overwrites `scores`. A few passes of argmax are faster than a sort or partition of M = 1000, and they decide ties:
    the first maximum wins.
    """
    rows = np.arange(len(scores))
    found = np.isfinite(scores).sum(axis=1)
    best = np.empty((len(scores), count), np.int64)
    for rank in range(count):
        best[:, rank] = scores.argmax(axis=1)
        scores[rows, best[:, rank]] = -np.inf
    cycled = np.arange(count) % np.clip(found, 1, count)[:, None]
    return np.where(found[:, None] > 0, np.take_along_axis(best, cycled, axis=1), fallback[:, None])
