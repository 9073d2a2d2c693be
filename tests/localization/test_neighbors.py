"""Geometry, candidates and draws of neighbors: properties, and a plain sort as the candidates' reference."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from contextloc_jax.core.segments import pairwise, tiou_of
from contextloc_jax.localization.neighbors import distance_of, draw_neighbors, draw_tree, neighbor_candidates, tree_hops

FUZZ = settings(derandomize=True, deadline=None)


def segments_up_to(frames: int, most: int):
    pairs = st.lists(st.tuples(st.integers(0, frames), st.integers(0, frames)).map(sorted), min_size=1, max_size=most)
    return pairs.map(np.array)


def random_segments(count: int, frames: int = 3000, seed: int = 5) -> np.ndarray:
    rng = np.random.RandomState(seed)
    start = rng.randint(0, frames, count)
    return np.column_stack([start, start + rng.randint(1, 150, count)])


def all_tiou(segments: np.ndarray, others: np.ndarray | None = None) -> np.ndarray:
    return pairwise(tiou_of, segments, segments if others is None else others, inclusive=True)


def all_distances(segments: np.ndarray) -> np.ndarray:
    return pairwise(distance_of, segments, segments)


def plainly_sorted_candidates(segments: np.ndarray) -> list[list[int]]:
    """The rule word by word, one node at a time, with Python's stable sort."""
    rows = []
    tiou, distance = all_tiou(segments), all_distances(segments)
    for node in range(len(segments)):
        others = [i for i in range(len(segments)) if i != node]
        near = sorted((i for i in others if tiou[node, i] > 0.7), key=lambda i: -tiou[node, i]) or [node]
        far = sorted((i for i in others if tiou[node, i] == 0), key=lambda i: distance[node, i]) or [node]
        rows.append((near * 8)[:8] + (far * 2)[:2])
    return rows


class Reversing:
    """Draws that reverse: children are the last candidates."""

    def shuffle(self, array):
        array[:] = array[::-1].copy()


@FUZZ
@given(segments=segments_up_to(200, 12))
def test_distance_is_symmetric_below_one_and_zero_for_itself(segments):
    distance = all_distances(segments)
    assert (distance == distance.T).all()
    assert ((distance >= 0) & (distance < 1)).all()
    assert (np.diag(distance) == 0).all()


@FUZZ
@given(segments=segments_up_to(200, 12), shift=st.integers(0, 1000))
def test_geometry_does_not_depend_on_where_the_video_starts(segments, shift):
    assert (all_tiou(segments) == all_tiou(segments + shift)).all()
    assert (all_distances(segments) == all_distances(segments + shift)).all()


def test_geometry_by_hand_counts_frames_inclusively():
    segments = np.array([[0, 9], [5, 14], [10, 19]])
    np.testing.assert_allclose(all_tiou(segments)[0], [1, 5 / 15, 0])
    np.testing.assert_allclose(all_distances(segments)[0], [0, 5 / 15, 10 / 20])
    np.testing.assert_allclose(all_tiou(segments[:1], segments), all_tiou(segments)[:1])


@FUZZ
@given(segments=segments_up_to(12, 25))  # few frames: many duplicates and ties
def test_candidates_equal_a_stable_sort(segments):
    assert neighbor_candidates(segments).tolist() == plainly_sorted_candidates(segments)


def test_candidates_of_many_segments_equal_a_stable_sort():
    segments = random_segments(400)
    candidates = neighbor_candidates(segments)
    assert candidates.dtype == np.int32
    assert candidates.tolist() == plainly_sorted_candidates(segments)


def test_equal_candidates_go_by_lower_index():
    segments = np.array([[0, 99], [0, 99], [0, 99], [300, 399], [300, 399]])
    assert neighbor_candidates(segments)[1].tolist() == [0, 2, 0, 2, 0, 2, 0, 2, 3, 4]


def test_a_lonely_proposal_is_its_own_neighbor():
    assert neighbor_candidates(np.array([[5, 50]])).tolist() == [[0] * 10]
    assert neighbor_candidates(np.array([[0, 100], [0, 50]])).tolist() == [[0] * 10, [1] * 10]


def test_no_proposals_have_no_candidates():
    candidates = neighbor_candidates(np.zeros((0, 2), int))
    assert candidates.shape == (0, 10)
    assert draw_neighbors(candidates, np.random.RandomState(0)).shape == (0, 4)


def test_tree_entries_are_candidates_of_their_parents():
    candidates = neighbor_candidates(random_segments(60, frames=400))
    before, draws = candidates.copy(), np.random.RandomState(1)
    for center in range(len(candidates)):
        tree = draw_tree(center, candidates, draws)
        assert tree.shape == (21,)
        assert tree[0] == center
        for row in range(5):
            assert set(tree[4 * row + 1 : 4 * row + 5]) <= set(candidates[tree[row]])
    np.testing.assert_array_equal(candidates, before)


def test_children_are_the_first_four_after_shuffling():
    candidates = np.arange(30).reshape(3, 10) % 3
    assert draw_neighbors(candidates, Reversing())[1].tolist() == candidates[1, :5:-1].tolist()
    tree = draw_tree(2, candidates, Reversing())
    assert tree[1:5].tolist() == candidates[2, :5:-1].tolist()
    assert tree[9:13].tolist() == candidates[tree[2], :5:-1].tolist()


def test_neighbors_are_drawn_row_by_row_without_changing_candidates():
    candidates = neighbor_candidates(random_segments(30, frames=300))
    before = candidates.copy()
    neighbors = draw_neighbors(candidates, np.random.RandomState(3))
    assert neighbors.shape == (30, 4)
    for node, row in enumerate(neighbors):
        assert set(row) <= set(candidates[node])
    np.testing.assert_array_equal(candidates, before)
    np.testing.assert_array_equal(neighbors, draw_neighbors(candidates, np.random.RandomState(3)))


def test_hops_lead_from_a_center_to_its_tree():
    trees = np.arange(42).reshape(2, 21) + 100
    first_hop, second_hop = tree_hops(trees)
    assert first_hop.shape == (10, 5)
    assert second_hop.shape == (2, 5)
    for tree, rows in zip(trees, second_hop, strict=True):
        assert first_hop[rows, 0].tolist() == tree[:5].tolist()
        assert first_hop[rows, 1:].ravel().tolist() == tree[1:].tolist()
