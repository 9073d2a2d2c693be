"""From a row of the model's scores to the scores of a video: padding is cut off, regression is de-standardized."""

from typing import NamedTuple

import numpy as np

from contextloc_jax.core.structs import Scores, VideoScores


class Video(NamedTuple):
    """What VideoScores say about a video beside its scores. proposals [N, 2] float64: fractions of the video."""

    video_id: str
    duration_seconds: float
    proposals: np.ndarray


def to_video_scores(row: Scores, video: Video, regression_stats: np.ndarray) -> VideoScores:
    """Scores [C, ...] of the centers of one video -> VideoScores. The first N centers are its proposals.

    regression_stats: [2, 2], mean and standard deviation of (center shift, log size) of the training set.
    """
    mean, deviation = np.asarray(regression_stats, np.float64)
    activity, completeness, regression = (part[: len(video.proposals)] for part in row)
    return VideoScores(*video, activity, completeness, regression * deviation + mean)
