"""Small results, and the report's page of them as a test can ask it."""

import json
from html.parser import HTMLParser

import numpy as np

from contextloc_jax.core.structs import Detections, GroundTruth
from contextloc_jax.evaluation.judging import judge
from contextloc_jax.report.page import write_report, write_unjudged_report
from tests.helpers.random_detections import THUMOS14

METRICS = {
    "protocol": "thumos14",
    "mAP": {"0.3": 0.9, "0.5": 0.8125, "0.7": 0.6},
    "average_mAP": 0.75,
    "videos": 24,
    "AP": {"ABD": {"0.3": 0.9, "0.5": 0.85, "0.7": None}, "PEN": {"0.3": 0.9, "0.5": 0.775, "0.7": float("nan")}},
    "data": {"identity": "0123abcd"},
}
CURVES = {"loss": ([1, 2, 3], [3.0, 2.0, float("nan")]), "learning rate": ([1, 3], [0.1, 0.01])}


def results(num_videos=3, num_detections=8, num_classes=2, seed=0):
    """Detections and ground truth of generated videos of about 110 s, the detections around the 6 instances."""
    rng = np.random.default_rng(seed)
    labels = ["ABD", "PEN", *(f"class {i}" for i in range(2, num_classes))]
    names = [f"video_{i}" for i in range(num_videos)]
    start = np.sort(rng.uniform(0, 95, (num_videos, 6)), axis=1)
    instances = np.stack([start, start + rng.uniform(3, 14, start.shape)], axis=-1)
    gt_label = rng.integers(num_classes, size=start.shape)
    pick = rng.integers(6, size=(num_videos, num_detections))
    own = np.arange(num_videos)[:, None]
    segments = np.sort(instances[own, pick] + rng.normal(0, 1, (*pick.shape, 2)), axis=-1)
    detections = Detections(
        names,
        labels,
        np.repeat(np.arange(num_videos), num_detections),
        gt_label[own, pick].ravel(),
        segments.reshape(-1, 2),
        rng.gamma(1, 1, pick.size),
    )
    durations = np.full(num_videos, 110.0)
    video = np.repeat(np.arange(num_videos), 6)
    return detections, GroundTruth(names, durations, labels, video, gt_label.ravel(), instances.reshape(-1, 2))


class Page(HTMLParser):
    """Tags, ids, visible text and the embedded data of a page."""

    def __init__(self, path):
        super().__init__()
        self.source = path.read_text("utf-8")
        self.tags, self.ids, self.text, self.data, self._inside = [], set(), "", None, ""
        self.feed(self.source)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.ids.add(dict(attrs).get("id"))
        self._inside = dict(attrs).get("id") if tag == "script" else tag

    def handle_data(self, text):
        if self._inside == "data" and self.data is None:
            self.data = json.loads(text)
        elif self.lasttag not in ("script", "style"):
            self.text += text


def page(
    tmp_path,
    detections,
    ground_truth,
    metrics=None,
    curves=None,
    title="A run",
    diagnosis=None,
    protocol=THUMOS14,
    **facts,
):
    path = tmp_path / "report.html"
    write_report(path, judge(detections, ground_truth, protocol), metrics, title, curves, facts, diagnosis)
    return Page(path)


def unjudged_page(tmp_path, detections, title="A run"):
    path = tmp_path / "report.html"
    write_unjudged_report(path, detections, title)
    return Page(path)
