"""Whole runs small enough for a test: eight videos of two classes in memory, and a model of a few hundred parameters.

`TinyInputs` stands in for input_pipeline.inputs.Inputs: its real batches, with arrays instead of a TFDS dataset.
"""

import functools
from pathlib import Path

import numpy as np

from configs import default
from contextloc_jax.commands.evaluate import evaluate as evaluate_command
from contextloc_jax.commands.settings import Settings, read_settings
from contextloc_jax.commands.train import train as train_command
from contextloc_jax.workdir.config_file import flatten
from input_pipeline.batches.targets import regression_stats
from input_pipeline.datasets.video_source import VideoSource, source_from_arrays, split_validation
from input_pipeline.inputs import Inputs, TrainingData
from input_pipeline.videos.labels import label_proposals
from input_pipeline.videos.records import VideoRecord
from tests.helpers.published import RULES

CLASSES = ["lift", "turn"]
WIDTH = 8
STEPS_PER_EPOCH, EPOCHS = 4, 3
NUM_STEPS = STEPS_PER_EPOCH * EPOCHS


def tiny_config(**changes):
    """configs/default.py for TinyInputs, with changes by flat key ('model__graph_width' is model.graph_width)."""
    config = default.get_config()
    config.update_from_flattened_dict(
        {
            "seed": 5, "batch_size": 4, "num_epochs": EPOCHS, "visits_per_epoch": 4,
            "log_every": 2, "evaluate_every": 1,
            "model.context_width": 4, "model.graph_width": 4, "model.batch_norm_global": True,
            "model.gcn_dropout": 0.5, "model.head_dropout": 0.5, "sampling.num_incomplete": 2,
            "optimizer.decay_epochs": (2,), "data.num_classes": len(CLASSES), "data.validation_fraction": 1 / 3,
        }
    )  # fmt: skip
    config.update_from_flattened_dict({key.replace("__", "."): value for key, value in changes.items()})
    return config


def tiny_video(name: str, group: str = "", num_snippets: int = 40) -> tuple[VideoRecord, np.ndarray]:
    """A record with one instance of each class and a grid of proposals, and features that show which is where."""
    rng = np.random.default_rng([*name.encode()])
    num_frames = 8 * num_snippets + 56
    first = rng.integers(10, 60)
    gt_segments = np.array([[first, first + 90], [first + 150, first + 250]])
    gt_labels = rng.permutation([1, 2])
    starts = np.arange(0, num_frames - 60, 24)
    proposals = np.concatenate([np.stack([starts, starts + length], axis=1) for length in (40, 90)])
    proposals = proposals[proposals[:, 1] <= num_frames]
    labeled = label_proposals(proposals, gt_segments, gt_labels, num_frames)
    record = VideoRecord(name, num_frames, 25.0, gt_labels, gt_segments, proposals, *labeled, group=group)
    features = np.abs(rng.standard_normal((num_snippets, WIDTH))).astype(np.float32)
    for label, (start_frame, end_frame) in zip(gt_labels, gt_segments, strict=True):
        features[start_frame // 8 : end_frame // 8, label] += 3
    return record, features


def tiny_source(prefix: str, count: int) -> VideoSource:
    """Videos prefix0, prefix1, ...; two neighbors share a group."""
    videos = [tiny_video(f"{prefix}{i}", group=f"{prefix} group {i // 2}") for i in range(count)]
    return source_from_arrays(*zip(*videos, strict=True), CLASSES)


class TinyInputs(Inputs):
    """The real inputs over arrays. `change(step, batch) -> batch` sees every training batch before it is handed out;
    `steps` lists those that were."""

    def __init__(self, settings: Settings, change=lambda step, batch: batch, num_videos=6):
        super().__init__(**settings.inputs._asdict())
        self._change, self._num_videos, self._fraction = change, num_videos, settings.inputs.validation_fraction
        self.steps, self.prepared = [], []

    def prepare(self, workdir):
        self.prepared.append(workdir)

    def training_data(self, prepared, hold_out=True):
        fraction = self._fraction if hold_out else 0
        train, validation = split_validation(tiny_source("train", self._num_videos), fraction)
        return TrainingData(train, validation, regression_stats(train.records, RULES))

    def test_data(self, prepared):
        return tiny_source("test", 2)

    def train_batches(self, data, start_step, num_steps, *process):
        self.steps.clear()
        batches = super().train_batches(data, start_step, num_steps, *process)
        for step, (videos, batch) in enumerate(batches, start_step):
            batch = self._change(step, batch)
            self.steps.append(step)
            yield videos, batch


class SilentWriter:
    """A TensorBoard writer that remembers."""

    def __init__(self, workdir=None):
        self.workdir, self.written = workdir, []

    def write_scalars(self, step, scalars):
        self.written.append((step, dict(scalars)))


def tiny_settings(**changes) -> Settings:
    return read_settings(flatten(tiny_config(**changes)))


def train(workdir, change=lambda step, batch: batch, num_videos=6, **changes) -> tuple[TinyInputs, list[SilentWriter]]:
    """The train command on a tiny run; returns its inputs and the TensorBoard writers that it made."""
    writers, settings = [], tiny_settings(**changes)
    inputs = TinyInputs(settings, change, num_videos)

    def make_writer(folder):
        writers.append(SilentWriter(folder))
        return writers[-1]

    train_command(settings, str(workdir), inputs, make_writer)
    return inputs, writers


def evaluate(workdir, checkpoint="best", **changes):
    """The evaluate command on a tiny run."""
    settings = tiny_settings(**changes)
    evaluate_command(settings, str(workdir), TinyInputs(settings), checkpoint)


@functools.cache
def finished_run(kept: Path) -> tuple[Path, list[SilentWriter]]:
    """(workdir, TensorBoard writers) of a run from start to end.

    kept: the fixture `kept_runs`. A process trains once, whichever test asks first.
    """
    return kept / "finished", train(kept / "finished")[1]
