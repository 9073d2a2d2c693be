"""Sliding windows: proposals without a proposal generator."""

import numpy as np


def sliding_windows(
    num_frames: int, fps: float, shortest_seconds: float = 3.0, growth: float = 1.4, longest_seconds: float = 24.0
) -> np.ndarray:
    """Class-agnostic proposals [P, 2] in frames: windows of 3 s, 4.2 s, ... sliding by a quarter of their length.

    A quarter of a window is 75 % overlap of neighbors. Only windows that lie inside the video are kept.
    """
    windows = [np.zeros((0, 2), np.int64)]
    length = shortest_seconds * fps
    while length <= min(longest_seconds * fps, num_frames):
        starts = np.arange(int((num_frames - length) / (length / 4)) + 1) * (length / 4)
        windows.append(np.stack([np.rint(starts), np.rint(starts + length)], axis=1).astype(np.int64))
        length *= growth
    windows = np.concatenate(windows)
    return windows[windows[:, 1] <= num_frames]
