"""Small problems for property tests, on a coarse grid so that ties, duplicates and zero lengths are common."""

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

from contextloc_jax.core.protocols import PROTOCOLS
from contextloc_jax.core.structs import Detections, GroundTruth

repeatable = settings(derandomize=True, deadline=None, max_examples=150)
THUMOS14, ACTIVITYNET = PROTOCOLS["thumos14"], PROTOCOLS["activitynet"]
VIDEOS = ["v10", "v2", "v1", "unseen"]
LABELS = ["run", "jump", "dive"]
_segment = st.tuples(st.integers(0, 12), st.integers(0, 5)).map(lambda pair: (pair[0], pair[0] + pair[1]))
_where = st.tuples(st.integers(0, 2), st.integers(0, 1), _segment)
scores_of_ties = st.integers(1, 6).map(lambda n: n / 8)


def ground_truth_of(rows) -> GroundTruth:
    """rows: [(video index, label index, (start, end))]; the last video and class have no instance."""
    video, label, segments = zip(*rows, strict=True)
    return GroundTruth(
        VIDEOS, np.full(4, 20.0), LABELS, np.array(video), np.array(label), np.array(segments, float).reshape(-1, 2)
    )


def detections_of(rows, videos=VIDEOS, labels=LABELS) -> Detections:
    """rows: [((video index, label index, (start, end)), score)]."""
    where = [row[0] for row in rows]
    return Detections(
        videos,
        labels,
        np.array([w[0] for w in where], int),
        np.array([w[1] for w in where], int),
        np.array([w[2] for w in where], float).reshape(-1, 2),
        np.array([row[1] for row in rows], float),
    )


truths = st.lists(_where, min_size=1, max_size=8).map(ground_truth_of)
detection_rows = st.lists(st.tuples(_where, scores_of_ties), min_size=1, max_size=20)
found = detection_rows.map(detections_of)


def shuffled(columns, order):
    """Detections or GroundTruth with their rows in another order."""
    rows = {name: getattr(columns, name)[order] for name in ("video", "label", "segments")}
    if hasattr(columns, "scores"):
        rows["scores"] = columns.scores[order]
    return columns._replace(**rows)
