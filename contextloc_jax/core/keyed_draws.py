"""Random draws that depend only on a key (seed, epoch, visit, video), never on the process that draws them."""

import hashlib

import numpy as np


def keyed_uint32(*key: int) -> np.uint32:
    """Mixes integers (each 0 .. 2**32 - 1) into one number, which is the same on every machine."""
    return np.random.SeedSequence([len(key), *key]).generate_state(1)[0]


def keyed_permutation(count: int, *key: int) -> np.ndarray:
    """A permutation [count] of 0 .. count - 1, drawn by the key."""
    order = np.arange(count)
    KeyedDraws(*key).shuffle(order)
    return order


class KeyedDraws:
    """Draws that depend only on the given integers (0 .. 2**32 - 1) and their order.

    Only the stream of random bits comes from NumPy, which promises never to change it. NumPy's `Generator` is not used,
    because the numbers that it makes from these bits may change between versions.
    """

    def __init__(self, *key: int):
        # SeedSequence gives the same bits for (1,) and (1, 0). The length in front makes them different.
        self._bits = np.random.Philox(np.random.SeedSequence([len(key), *key]))

    def choice(self, n: int) -> int:
        """An integer in 0..n-1. All are equally likely, to within n / 2**64."""
        return int(self._bits.random_raw()) * int(n) >> 64

    def shuffle(self, array: np.ndarray) -> None:
        """Permutes the first axis in place."""
        array[:] = array[np.argsort(self._bits.random_raw(len(array)), kind="stable")]


def video_key(video_id: str) -> int:
    """A number (0 .. 2**32 - 1) that stands for a video id in a key: the start of the id's SHA-256."""
    return int.from_bytes(hashlib.sha256(video_id.encode()).digest()[:4], "big")
