"""What a proposal is to training: foreground, incomplete or background, its class and its regression target."""

import numpy as np


def label_proposals(
    proposals: np.ndarray, gt_segments: np.ndarray, gt_labels: np.ndarray, num_frames: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Labels proposals whose file does not: (labels [P] int64, tIoU [P], overlap_self [P], coverage [P], float64).

    proposals [P, 2] and gt_segments [G, 2] are frames, before clipping to the video where they reach beyond it;
    gt_labels [G] are 1..K. The meanings are VideoRecord's. Lengths are end - start, without the +1 of
    `regression_targets` and `segment_tiou`: that reproduces the golden lists to their 4 decimals. Of equal instances
    the first wins; a proposal that overlaps none has label, tIoU and overlap 0.
    """
    proposals = np.asarray(proposals).reshape(-1, 2)
    gt_labels = np.asarray(gt_labels, np.int64)
    coverage = (proposals[:, 1] - proposals[:, 0]) / num_frames
    if not len(gt_labels):
        zeros = np.zeros(len(proposals))
        return zeros.astype(np.int64), zeros, zeros.copy(), coverage
    overlap, tiou = _overlap_and_tiou(proposals, np.asarray(gt_segments).reshape(-1, 2))
    best = tiou.argmax(axis=1)[:, None]
    best_tiou = np.take_along_axis(tiou, best, axis=1)[:, 0]
    best_overlap = np.take_along_axis(overlap, best, axis=1)[:, 0]
    overlap_self = _divide(best_overlap, proposals[:, 1] - proposals[:, 0])
    labels = np.where(best_tiou > 0, gt_labels[best[:, 0]], 0)
    return labels, best_tiou, overlap_self, coverage


def _overlap_and_tiou(segments: np.ndarray, gt_segments: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """[P, 2], [G, 2] -> overlap in frames and tIoU, both [P, G], lengths end - start; 0 where both are empty."""
    start = np.maximum(segments[:, None, 0], gt_segments[None, :, 0])
    end = np.minimum(segments[:, None, 1], gt_segments[None, :, 1])
    overlap = np.maximum(end - start, 0)
    lengths = (segments[:, 1] - segments[:, 0])[:, None] + (gt_segments[:, 1] - gt_segments[:, 0])
    return overlap, _divide(overlap, lengths - overlap)


def _divide(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    return np.divide(numerator, denominator, out=np.zeros(denominator.shape), where=denominator > 0)
