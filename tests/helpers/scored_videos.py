"""Videos with random scores of two classes, and settings that make detections of them."""

import dataclasses

import numpy as np

from contextloc_jax.core.structs import VideoScores
from contextloc_jax.localization.decode import DetectionSettings
from tests.helpers.random_detections import THUMOS14

LABELS = ["run", "jump"]


def scored_video(
    video_id="v1", proposals=((0.1, 0.5), (0.6, 0.9)), seed=0, duration=100.0, **fields: object
) -> VideoScores:
    """Scores of a video of `duration` seconds, drawn from the seed; fields of VideoScores may be given instead."""
    random = np.random.RandomState(seed)
    n = len(proposals)
    made = VideoScores(
        video_id,
        duration,
        np.array(proposals, np.float64).reshape(-1, 2),
        random.normal(size=(n, 3)).astype(np.float32),
        random.normal(size=(n, 2)).astype(np.float32),
        np.zeros((n, 2, 2), np.float32),
    )
    return made._replace(**{name: np.array(value, np.float32) for name, value in fields.items()})


def detection_settings(**changes: object) -> DetectionSettings:
    """THUMOS14's settings of one stream, with changes."""
    settings = DetectionSettings(THUMOS14, top_k=2000, nms_tiou=0.35, nms="hard", class_scores="", class_top_k=0)
    return dataclasses.replace(settings, **changes)
