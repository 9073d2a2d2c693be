"""Draws that a key alone decides: pinned, fair, and different for every part of the key."""

import numpy as np

from contextloc_jax.core.keyed_draws import KeyedDraws, keyed_permutation, video_key

PINNED_DRAWS = ([7, 4, 8, 9, 1, 5, 0, 2, 3, 6], [1, 46, 36, 64, 84, 86])
PINNED_KEY = 867557919


def drawn(key: tuple[int, ...], count: int = 8) -> list[int]:
    draws = KeyedDraws(*key)
    return [draws.choice(1000) for _ in range(count)]


def test_keyed_draws_never_change():
    draws = KeyedDraws(1, 2, 3)
    order = np.arange(10)
    draws.shuffle(order)
    assert (order.tolist(), [draws.choice(100) for _ in range(6)]) == PINNED_DRAWS
    assert video_key("video_test_0000004") == PINNED_KEY


def test_keyed_draws_depend_on_every_part_of_the_key():
    keys = [(1,), (1, 0), (0, 1), (1, 0, 0), (2, 0), (0, 2)]
    assert len({tuple(drawn(key)) for key in keys}) == len(keys)
    assert drawn((1, 0)) == drawn((1, 0))


def test_choice_is_uniform_over_its_range():
    draws = KeyedDraws(7)
    counts = np.bincount([draws.choice(5) for _ in range(5000)], minlength=5)
    assert len(counts) == 5
    assert (np.abs(counts - 1000) < 150).all()
    assert [draws.choice(1) for _ in range(3)] == [0, 0, 0]


def test_shuffle_is_fair():
    draws, positions = KeyedDraws(8), np.zeros((10, 10))
    for _ in range(2000):
        order = np.arange(10)
        draws.shuffle(order)
        positions[np.arange(10), order] += 1
    assert (positions.sum(axis=0) == 2000).all()
    assert (np.abs(positions - 200) < 75).all()


def test_epoch_order_is_a_keyed_permutation():
    order = keyed_permutation(1000, 1, 2)
    np.testing.assert_array_equal(np.sort(order), np.arange(1000))
    np.testing.assert_array_equal(order, keyed_permutation(1000, 1, 2))
    assert (order != keyed_permutation(1000, 2, 1)).any()
    assert abs(np.corrcoef(order, np.arange(1000))[0, 1]) < 0.1
