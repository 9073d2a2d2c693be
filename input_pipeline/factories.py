"""From a configuration (configs/default.py) to sources and batches: the only reader of config in this package."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from contextloc_jax.batch import GroundTruth
from contextloc_jax.errors import InputError
from input_pipeline import pipeline
from input_pipeline.datasets import prepare
from input_pipeline.labels import LabelRules, regression_stats
from input_pipeline.video_source import VideoSource, open_split, split_validation


class TrainingData(NamedTuple):
    """train, validation (None where no fraction is held out) and the train set's regression statistics [2, 2]."""

    train: VideoSource
    validation: VideoSource | None
    regression_stats: np.ndarray


def prepare_dataset(config, workdir: str):
    """Builds the configured dataset where it is absent and returns its builder."""
    data = config.data
    settings = {"shoulder": {"seed": data.composition_seed}}.get(data.dataset, {})
    builder = prepare(data.dataset, data.data_dir or str(Path(workdir) / "tfds"), **settings)
    found = len(builder.builder_config.class_names)
    if found != data.num_classes:
        raise InputError(f"config.data.num_classes is {data.num_classes}; dataset {data.dataset} has {found} classes")
    return builder


def open_training_data(config, builder) -> TrainingData:
    """The train split of a prepared dataset, part of it held out."""
    source = open_split(builder, "train", cache_bytes=_cache_bytes(config))
    train, validation = split_validation(source, config.data.validation_fraction)
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


def steps_per_epoch(config, source: VideoSource) -> int:
    """Steps of an epoch; InputError where the data do not fill one batch."""
    steps = pipeline.steps_per_epoch(source, config.batch_size, config.visits_per_epoch)
    if not steps:
        raise InputError(
            f"{len(source)} training videos x {config.visits_per_epoch} visits do not fill a batch of "
            f"{config.batch_size}: lower config.batch_size or raise config.visits_per_epoch"
        )
    return steps


def train_batches(
    config, data: TrainingData, start_step: int, num_steps: int, process_index: int = 0, process_count: int = 1
) -> Iterator[pipeline.IndexedBatch]:
    """This process's rows of the batches start_step .. num_steps - 1."""
    return pipeline.train_batches(
        data.train,
        rules=label_rules(config),
        regression_stats=data.regression_stats,
        batch_size=config.batch_size,
        seed=config.seed,
        start_step=start_step,
        num_steps=num_steps,
        visits_per_epoch=config.visits_per_epoch,
        snippet_stride=config.data.snippet_stride,
        snippet_length=config.data.snippet_length,
        node_multiple=config.sampling.node_multiple or None,
        centers=(config.sampling.num_foreground, config.sampling.num_incomplete, config.sampling.num_background),
        process_index=process_index,
        process_count=process_count,
    )


def evaluation_batches(
    config, source: VideoSource, videos_per_batch: int, process_index: int = 0, process_count: int = 1
):
    """Every video of the source once."""
    return pipeline.evaluation_batches(
        source,
        seed=config.seed,
        snippet_stride=config.data.snippet_stride,
        snippet_length=config.data.snippet_length,
        videos_per_batch=videos_per_batch,
        process_index=process_index,
        process_count=process_count,
    )


def ground_truth(source: VideoSource) -> GroundTruth:
    """The annotated instances of a source, in seconds."""
    records = source.records
    counts = [len(record.gt_labels) for record in records]
    return GroundTruth(
        video_ids=[record.video_id for record in records],
        duration_seconds=np.array([record.duration_seconds for record in records]),
        labels=list(source.class_names),
        video=np.repeat(np.arange(len(records)), counts),
        label=np.concatenate([record.gt_labels for record in records]).astype(np.int64) - 1,
        segments=np.concatenate([record.gt_segments.reshape(-1, 2) / record.fps for record in records]),
    )


def video_facts(source: VideoSource) -> Callable[[int], tuple[str, float, np.ndarray]]:
    """Index -> (video id, duration in seconds, proposals [N, 2] as fractions of the video)."""

    def facts(index: int):
        record = source.records[index]
        return record.video_id, record.duration_seconds, record.proposals / record.num_frames

    return facts


def _cache_bytes(config) -> int:
    return int(config.data.cache_gigabytes * 2**30)
