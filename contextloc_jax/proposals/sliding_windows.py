"""Sliding windows: proposals without a proposal generator."""

import numpy as np


def sliding_windows(
    num_frames: int, fps: float, *, shortest_seconds: float, growth: float, longest_seconds: float
) -> np.ndarray:
    """Class-agnostic proposals [P, 2] int64 in frames: windows that slide by a quarter of their length.

    Window lengths are shortest_seconds, shortest_seconds * growth, ... up to longest_seconds. Neighboring windows of
    one length share 75 % of it. Only windows that lie inside the video are kept.
    """
    windows = [np.zeros((0, 2), np.int64)]
    length = shortest_seconds * fps
    while length <= min(longest_seconds * fps, num_frames):
        starts = np.arange(int((num_frames - length) / (length / 4)) + 1) * (length / 4)
        windows.append(np.stack([np.rint(starts), np.rint(starts + length)], axis=1).astype(np.int64))
        length *= growth
    windows = np.concatenate(windows)
    return windows[windows[:, 1] <= num_frames]
