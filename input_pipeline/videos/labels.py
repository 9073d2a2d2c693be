"""The instance that a proposal belongs to: the columns of a proposal list, for files that do not have them."""

import numpy as np

from contextloc_jax.core.segments import overlap_of, pairwise, tiou_of


def label_proposals(
    proposals: np.ndarray, gt_segments: np.ndarray, gt_labels: np.ndarray, num_frames: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(class indices [P] int64, tIoU [P], overlap_self [P], coverage [P], float64) of proposals, as in VideoRecord.

    proposals [P, 2] and gt_segments [G, 2] are frames, not yet clipped to the video; gt_labels [G] are class indices
    1..K. Lengths are end - start, without the +1 of `regression_targets` and of the neighbors; this reproduces the
    golden lists to their 4 decimals. Among equally good instances, the first one is used. A proposal that overlaps no
    instance has class, tIoU and overlap_self 0.
    """
    proposals = np.asarray(proposals).reshape(-1, 2)
    gt_segments, gt_labels = np.asarray(gt_segments).reshape(-1, 2), np.asarray(gt_labels, np.int64)
    length = proposals[:, 1] - proposals[:, 0]
    coverage = length / num_frames
    if not len(gt_labels):
        zeros = np.zeros(len(proposals))
        return zeros.astype(np.int64), zeros, zeros.copy(), coverage
    overlap = pairwise(overlap_of, proposals, gt_segments)
    tiou = np.where(overlap > 0, pairwise(tiou_of, proposals, gt_segments), 0.0)  # an empty proposal overlaps nothing
    best = np.arange(len(proposals)), tiou.argmax(axis=1)
    overlap_self = overlap[best] / np.where(length > 0, length, 1)
    return np.where(tiou[best] > 0, gt_labels[best[1]], 0), tiou[best], overlap_self, coverage
