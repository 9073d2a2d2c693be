"""The data of a run, from files to batches: the implementation of the interface in commands/inputs.py."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from contextloc_jax.core.errors import InputError
from contextloc_jax.core.files import make_folder
from contextloc_jax.core.structs import GroundTruth
from contextloc_jax.localization.alignment import Align, alignment_rule
from input_pipeline.batches.evaluation_batches import EvaluationBatches
from input_pipeline.batches.stream import BatchStream
from input_pipeline.batches.targets import LabelRules, regression_stats
from input_pipeline.batches.training_batches import TrainingBatches, steps_per_epoch
from input_pipeline.datasets import data_report, registry, video_source
from input_pipeline.datasets.video_source import VideoSource


class TrainingData(NamedTuple):
    """train, validation (None if no fraction is held out) and the regression statistics [2, 2] of train."""

    train: VideoSource
    validation: VideoSource | None
    regression_stats: np.ndarray


class Inputs:
    """The data of one configuration. The arguments are the fields of commands.inputs.InputValues.

    Making the object reads no file. InputError: a value is out of range.
    """

    def __init__(
        self,
        *,
        dataset: str,
        data: Mapping[str, Any],
        data_dir: str,
        beam_runner: str,
        cache_gigabytes: float,
        validation_fraction: float,
        labels: Mapping[str, float],
        centers: tuple[int, int, int],
        batch_size: int,
        visits_per_epoch: int,
        seed: int,
    ):
        registry.check(dataset, data)
        self._dataset, self._data, self._data_dir, self._beam_runner = dataset, data, data_dir, beam_runner
        self._cache_bytes = int(cache_gigabytes * 2**30)
        self._validation_fraction = validation_fraction
        self._rules, self._centers = LabelRules(**labels), centers
        self._batch_size, self._visits_per_epoch, self._seed = batch_size, visits_per_epoch, seed

    def prepare(self, workdir: str):
        """Builds the dataset if it does not exist, writes data_report.json to workdir, and returns the builder."""
        return self._prepare(workdir, need_ground_truth=True)

    def prepare_prediction(self, workdir: str):
        """The same as `prepare`, but only for data.test_proposals and data.test_features, with or without ground truth.

        InputError: the dataset is not made from files.
        """
        return self._prepare(workdir, need_ground_truth=False)

    def _prepare(self, workdir: str, need_ground_truth: bool):
        builder = registry.prepare(
            self._dataset,
            self._data_dir or str(Path(workdir) / "tfds"),
            self._data,
            beam_runner=self._beam_runner,
            need_ground_truth=need_ground_truth,
        )
        found, expected = len(builder.builder_config.class_names), self._data["num_classes"]
        if found != expected:
            raise InputError(
                f"config.data.num_classes is {expected}; dataset {self._dataset} has {found} classes; set it to {found}"
            )
        report = builder.report()
        data_report.write_report(make_folder(workdir) / data_report.FILE_NAME, report)
        print("\n".join(data_report.summary_lines(report)))
        return builder

    def training_data(self, builder, hold_out: bool = True) -> TrainingData:
        """The train split of a prepared dataset. If validation_fraction > 0 and `hold_out`, part of it is held out."""
        source = video_source.open_split(builder, "train", cache_bytes=self._cache_bytes)
        fraction = self._validation_fraction if hold_out else 0
        train, validation = video_source.split_validation(source, fraction)
        return TrainingData(train, validation, regression_stats(train.records, self._rules))

    def test_data(self, builder) -> VideoSource:
        """The test split of a prepared dataset."""
        return video_source.open_split(builder, "test", cache_bytes=self._cache_bytes)

    def steps_per_epoch(self, source: VideoSource) -> int:
        """Training steps in one epoch. InputError: the videos do not fill one batch."""
        steps = steps_per_epoch(source, self._batch_size, self._visits_per_epoch)
        if not steps:
            raise InputError(
                f"{len(source)} training videos x {self._visits_per_epoch} visits do not fill a batch of "
                f"{self._batch_size}; lower config.batch_size or raise config.visits_per_epoch"
            )
        return steps

    def train_batches(
        self, data: TrainingData, start_step: int, num_steps: int, process_index: int = 0, process_count: int = 1
    ) -> BatchStream:
        """The rows of this process in the batches start_step .. num_steps - 1, with the indices of their videos."""
        batches = TrainingBatches(
            data.train,
            rules=self._rules,
            regression_stats=data.regression_stats,
            align=self.alignment,
            batch_size=self._batch_size,
            visits_per_epoch=self._visits_per_epoch,
            centers=self._centers,
            seed=self._seed,
            process_index=process_index,
            process_count=process_count,
        )
        return BatchStream(batches.batch, range(start_step, num_steps), data.train.feature_dtype, has_targets=True)

    def evaluation_batches(
        self, source: VideoSource, videos_per_batch: int, process_index: int = 0, process_count: int = 1
    ) -> BatchStream:
        """Every video of the source once. It may be iterated again; the graphs of the videos are then known."""
        batches = EvaluationBatches(
            source,
            seed=self._seed,
            align=self.alignment,
            videos_per_batch=videos_per_batch,
            process_index=process_index,
            process_count=process_count,
        )
        return BatchStream(batches.batch, range(len(batches)), source.feature_dtype, has_targets=False)

    @property
    def alignment(self) -> Align:
        """The rule for the snippets of a proposal: by stride, or by bins if the features are rescaled."""
        data = self._data
        return alignment_rule(data["num_bins"], data["snippet_stride"], data["snippet_length"])

    def ground_truth(self, source: VideoSource) -> GroundTruth:
        """The annotated instances of a source, in seconds."""
        return video_source.ground_truth(source)

    def video_facts(self, source: VideoSource) -> Callable[[int], tuple[str, float, np.ndarray]]:
        """Index -> (video id, duration in seconds, proposals [N, 2] as fractions of the video)."""
        return video_source.video_facts(source)
