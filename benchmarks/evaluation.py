"""Seconds that evaluation takes: NumPy on one core, no jax.

map_74k  mAP of 74,000 detections, 3,200 instances, 20 classes, 9 thresholds (THUMOS14's test set after NMS)
nms_74k  NMS of 74,000 detections in 213 videos and 20 classes
map_1m   mAP of 1,000,000 detections in 200 classes, 10 thresholds (ActivityNet's size)
"""

import numpy as np

from benchmarks.host import beside_copying, host_copy_rate, seconds_of
from contextloc_jax.core.structs import Detections, GroundTruth
from contextloc_jax.core.suppression import nms
from contextloc_jax.evaluation.average_precision import evaluate

THUMOS14 = {"num_detections": 74_000, "num_instances": 3_200, "num_classes": 20, "num_videos": 213}
ACTIVITYNET = {"num_detections": 1_000_000, "num_instances": 7_700, "num_classes": 200, "num_videos": 4_900}


def measure(case: str) -> dict[str, float]:
    """Best seconds of a case; all data is drawn from a fixed seed. The floor: every column is read once."""
    detections, ground_truth = random_problem(**(ACTIVITYNET if case == "map_1m" else THUMOS14))
    if case == "nms_74k":
        groups = detections.video * len(detections.labels) + detections.label
        seconds = min(seconds_of(lambda: nms(detections.segments, detections.scores, groups, 0.35)) for _ in range(5))
    else:
        protocol, repeats = ("activitynet", 2) if case == "map_1m" else ("thumos14", 5)
        seconds = min(seconds_of(lambda: evaluate(detections, ground_truth, protocol)) for _ in range(repeats))
    moved = sum(getattr(column, "nbytes", 0) for column in (*detections, *ground_truth))
    return beside_copying(seconds, moved, host_copy_rate())


def random_problem(
    num_detections: int, num_instances: int, num_classes: int, num_videos: int, seed: int = 0
) -> tuple[Detections, GroundTruth]:
    """Half of the detections near an instance and of its class, half anywhere; videos of 1 to 5 minutes."""
    random = np.random.RandomState(seed)
    names, labels = [f"video_{i:07d}" for i in range(num_videos)], [f"class {i}" for i in range(num_classes)]
    duration = random.uniform(60, 300, num_videos)
    video = random.randint(num_videos, size=num_instances)
    label = (video + random.randint(2, size=num_instances)) % num_classes
    instances = _segments(random, duration[video], longest=15)
    near = random.randint(num_instances, size=num_detections // 2)
    far = num_detections - len(near)
    found_video = np.concatenate([video[near], random.randint(num_videos, size=far)])
    found_label = np.concatenate([label[near], random.randint(num_classes, size=far)])
    shifted = np.sort(instances[near] + random.normal(0, 2, (len(near), 2)), axis=1)
    segments = np.concatenate([shifted, _segments(random, duration[found_video[len(near) :]], longest=20)])
    detections = Detections(names, labels, found_video, found_label, segments, random.uniform(size=num_detections))
    return detections, GroundTruth(names, duration, labels, video, label, instances)


def _segments(random: np.random.RandomState, duration: np.ndarray, longest: float) -> np.ndarray:
    start = random.uniform(0, 1, len(duration)) * duration
    return np.stack([start, start + random.uniform(1, longest, len(duration))], axis=1)
