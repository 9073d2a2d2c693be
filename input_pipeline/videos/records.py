"""VideoRecord: the annotations and proposals of one video, the same for all kinds of files."""

from dataclasses import dataclass

import numpy as np

from contextloc_jax.core.ranges import one_of

FEATURE_DTYPE = one_of("float16", "float32")  # the dtypes in which snippet features may be stored


@dataclass(frozen=True)
class VideoRecord:
    """G ground-truth instances and P proposals of one video. Frames are counted at `fps`.

    gt_labels              [G]    int64    class index 1..K
    gt_segments            [G, 2] int64    start_frame, end_frame
    proposals              [P, 2] int64    start_frame, end_frame
    proposal_labels        [P]    int64    class index of the instance with the best tIoU; 0 if there is none
    proposal_tiou          [P]    float64  that best tIoU
    proposal_overlap_self  [P]    float64  share of the proposal inside that instance
    proposal_coverage      [P]    float64  share of the video that the (unclipped) proposal spans
    proposal_scores        [P]    float64  the generator's own score, or None
    group                  videos of one group (a person) stay together in training or validation; '': the video itself
    """

    video_id: str
    num_frames: int
    fps: float
    gt_labels: np.ndarray
    gt_segments: np.ndarray
    proposals: np.ndarray
    proposal_labels: np.ndarray
    proposal_tiou: np.ndarray
    proposal_overlap_self: np.ndarray
    proposal_coverage: np.ndarray
    proposal_scores: np.ndarray | None = None
    group: str = ""

    @property
    def duration_seconds(self) -> float:
        return self.num_frames / self.fps
