"""Small hand-made videos for tests."""

import numpy as np

from input_pipeline.videos.labels import label_proposals
from input_pipeline.videos.records import VideoRecord


def labeled_record(proposals, gt_segments=(), gt_labels=(), num_frames=1000) -> VideoRecord:
    """A record of frames [P, 2] and [G, 2], its proposals labeled against its instances."""
    proposals = np.array(proposals, np.int64).reshape(-1, 2)
    gt_segments = np.array(gt_segments, np.int64).reshape(-1, 2)
    gt_labels = np.array(gt_labels, np.int64)
    labeled = label_proposals(proposals, gt_segments, gt_labels, num_frames)
    return VideoRecord("small", num_frames, 30.0, gt_labels, gt_segments, proposals, *labeled)
