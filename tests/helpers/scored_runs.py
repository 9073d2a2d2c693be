"""Twelve videos of 100 s with two instances each, random scores of them, and workdirs as evaluate leaves them."""

import json
from pathlib import Path

import numpy as np
import pytest

from contextloc_jax.commands.results import write_results
from contextloc_jax.commands.score import score as score_command
from contextloc_jax.core.errors import InputError
from contextloc_jax.core.protocols import find_protocol
from contextloc_jax.core.structs import GroundTruth, VideoScores
from input_pipeline.formats import annotations
from tests.helpers.scored_videos import detection_settings

LABELS = ["jump", "run"]
NUM_VIDEOS = 12
VIDEOS = [f"v{i}" for i in range(NUM_VIDEOS)]


def truth(labels=LABELS, shift=0.0) -> GroundTruth:
    """Two instances in each video of 100 s."""
    video, label = np.repeat(np.arange(NUM_VIDEOS), 2), np.tile([0, 1], NUM_VIDEOS)
    start = np.tile([10.0, 60.0], NUM_VIDEOS) + video + shift
    return GroundTruth(VIDEOS, np.full(NUM_VIDEOS, 100.0), labels, video, label, np.stack([start, start + 20], 1))


def scores(seed: int, skill: float, num_proposals: int = 30, num_videos: int = NUM_VIDEOS) -> list[VideoScores]:
    """Random proposals (the same for every seed), of which those near an instance score higher by `skill`."""
    spans, noise = np.random.RandomState(0), np.random.RandomState(seed)
    videos = []
    for v, name in enumerate(VIDEOS[:num_videos]):
        start = spans.uniform(0, 0.7, num_proposals)
        proposals = np.stack([start, start + spans.uniform(0.1, 0.3, num_proposals)], axis=1)
        activity = noise.standard_normal((num_proposals, 3)).astype(np.float32)
        for label, begin in enumerate((10 + v, 60 + v)):
            activity[:, label + 1] += skill * (np.abs(proposals - [begin / 100, begin / 100 + 0.2]).sum(axis=1) < 0.15)
        regression = 0.1 * noise.standard_normal((num_proposals, 2, 2))
        completeness = noise.standard_normal((num_proposals, 2)).astype(np.float32)
        videos.append(VideoScores(name, 100.0, proposals, activity, completeness, regression))
    return videos


def evaluated(folder: Path, seed=0, skill=2.0, ground_truth=None, identity="data", protocol="thumos14", n=30) -> Path:
    """A workdir as evaluate leaves it."""
    folder.mkdir()
    settings = detection_settings(top_k=200, protocol=find_protocol(protocol))
    write_results(folder, scores(seed, skill, n), ground_truth or truth(), settings, identity, "a run")
    return folder


def database(subset="test", **more) -> dict:
    """`truth` in ActivityNet's form."""
    columns = truth()
    videos = {name: {"duration": 100.0, "subset": subset, "annotations": []} for name in VIDEOS}
    for video, label, segment in zip(columns.video, columns.label, columns.segments.tolist(), strict=True):
        videos[VIDEOS[video]]["annotations"].append({"label": LABELS[label], "segment": segment})
    return {"database": videos | more}


def score(folder, detections, annotated, protocol="thumos14", subset=None) -> None:
    """The command on two files."""
    score_command(str(folder), detections, annotated, protocol, subset, annotations)


def read(path: Path) -> dict:
    """The content of a JSON file."""
    return json.loads(path.read_text())


def refused(words: str, folder: Path, function, *arguments):
    """The command ends in one line with `words` and leaves no workdir."""
    with pytest.raises(InputError) as error:
        function(*arguments)
    assert words in str(error.value)
    assert "\n" not in str(error.value)
    assert not folder.is_dir()
