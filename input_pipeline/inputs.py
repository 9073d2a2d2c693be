"""From a configuration (configs/default.py) to sources and batches: the only reader of config in this package."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from contextloc_jax.core.errors import InputError
from contextloc_jax.localization.alignment import Align, align_by_bins, align_by_stride
from input_pipeline.batches import stream
from input_pipeline.batches.targets import LabelRules, regression_stats
from input_pipeline.datasets import data_report, prepare
from input_pipeline.datasets.video_source import (
    VideoSource,
    ground_truth,  # noqa: F401
    open_split,
    split_validation,
    video_facts,  # noqa: F401
)


class TrainingData(NamedTuple):
    """train, validation (None where no fraction is held out) and the train set's regression statistics [2, 2]."""

    train: VideoSource
    validation: VideoSource | None
    regression_stats: np.ndarray


def prepare_dataset(config, workdir: str):
    """Builds the configured dataset where it is absent, leaves data_report.json in workdir; returns the builder."""
    return _prepare(config, workdir)


def prepare_prediction(config, workdir: str):
    """As `prepare_dataset`, of data.test_proposals and data.test_features alone, with or without ground truth.

    InputError for datasets that are not made of files.
    """
    return _prepare(config, workdir, need_ground_truth=False)


def flat_values(config, prefix: str = "") -> dict[str, object]:
    """The values of a part of a configuration by their keys below it, such as "synthetic.train_videos"."""
    values = {}
    for key, _ in config.items():
        value = config[key]
        values |= flat_values(value, f"{prefix}{key}.") if hasattr(value, "items") else {f"{prefix}{key}": value}
    return values


def _prepare(config, workdir: str, need_ground_truth: bool = True):
    data = config.data
    builder = prepare(
        data.dataset,
        data.data_dir or str(Path(workdir) / "tfds"),
        flat_values(data),
        beam_runner=data.beam_runner,
        need_ground_truth=need_ground_truth,
    )
    found = len(builder.builder_config.class_names)
    if found != data.num_classes:
        raise InputError(f"config.data.num_classes is {data.num_classes}; dataset {data.dataset} has {found} classes")
    _leave_report(workdir, builder)
    return builder


def _leave_report(workdir: str, builder) -> None:
    """Copies the data report into workdir and prints its summary."""
    try:
        Path(workdir).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--workdir={workdir}: cannot write there ({error.strerror}); choose another folder") from None
    report = builder.report()
    data_report.write_report(Path(workdir) / data_report.FILE_NAME, report)
    for line in data_report.summary_lines(report):
        print(line)


def open_training_data(config, builder, hold_out: bool = True) -> TrainingData:
    """The train split of a prepared dataset; part of it held out where the config and `hold_out` say so."""
    source = open_split(builder, "train", cache_bytes=_cache_bytes(config))
    train, validation = split_validation(source, config.data.validation_fraction if hold_out else 0)
    return TrainingData(train, validation, regression_stats(train.records, label_rules(config)))


def open_test_data(config, builder) -> VideoSource:
    """The test split of a prepared dataset."""
    return open_split(builder, "test", cache_bytes=_cache_bytes(config))


def label_rules(config) -> LabelRules:
    """Thresholds of foreground, incomplete and background."""
    sampling = config.sampling
    return LabelRules(
        foreground_tiou=sampling.foreground_tiou,
        incomplete_tiou=sampling.incomplete_tiou,
        incomplete_overlap_self=sampling.incomplete_overlap_self,
        background_tiou=sampling.background_tiou,
        background_coverage=sampling.background_coverage,
    )


def alignment_rule(config) -> Align:
    """Which snippets a proposal covers: by stride, or by bins where the features are rescaled."""
    by_stride = align_by_stride(config.data.snippet_stride, config.data.snippet_length)
    return align_by_bins() if config.data.num_bins else by_stride


def steps_per_epoch(config, source: VideoSource) -> int:
    """Steps of an epoch; InputError where the data do not fill one batch."""
    steps = stream.steps_per_epoch(source, config.batch_size, config.visits_per_epoch)
    if not steps:
        raise InputError(
            f"{len(source)} training videos x {config.visits_per_epoch} visits do not fill a batch of "
            f"{config.batch_size}: lower config.batch_size or raise config.visits_per_epoch"
        )
    return steps


def train_batches(
    config, data: TrainingData, start_step: int, num_steps: int, process_index: int = 0, process_count: int = 1
) -> Iterator[stream.IndexedBatch]:
    """This process's rows of the batches start_step .. num_steps - 1."""
    return stream.train_batches(
        data.train,
        rules=label_rules(config),
        regression_stats=data.regression_stats,
        batch_size=config.batch_size,
        seed=config.seed,
        start_step=start_step,
        num_steps=num_steps,
        visits_per_epoch=config.visits_per_epoch,
        align=alignment_rule(config),
        centers=(config.sampling.num_foreground, config.sampling.num_incomplete, config.sampling.num_background),
        process_index=process_index,
        process_count=process_count,
    )


def evaluation_batches(
    config, source: VideoSource, videos_per_batch: int, process_index: int = 0, process_count: int = 1
):
    """Every video of the source once."""
    return stream.evaluation_batches(
        source,
        seed=config.seed,
        align=alignment_rule(config),
        videos_per_batch=videos_per_batch,
        process_index=process_index,
        process_count=process_count,
    )


def _cache_bytes(config) -> int:
    return int(config.data.cache_gigabytes * 2**30)
