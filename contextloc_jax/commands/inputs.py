"""What a run asks of its data: the one description that both sides keep to.

`input_pipeline.inputs.Inputs` is made of these values and does this; a benchmark or a test may bring arrays instead.
This package never imports TensorFlow, so the command line hands the object in.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from contextloc_jax.core.structs import Batch, GroundTruth


class InputValues(NamedTuple):
    """The values of a configuration that the input pipeline needs.

    dataset: its name; data: every key below config.data, by flat name ('fps', 'synthetic.train_videos', ...), of which
    the dataset takes its own. labels: thresholds of foreground, incomplete and background, by the names of
    config.sampling. centers: foreground, incomplete and background centers a video. data_dir: '' for workdir/tfds.
    """

    dataset: str
    data: Mapping[str, Any]
    data_dir: str
    beam_runner: str
    cache_gigabytes: float
    validation_fraction: float
    labels: Mapping[str, float]
    centers: tuple[int, int, int]
    batch_size: int
    visits_per_epoch: int
    seed: int


class Source(Protocol):
    """The videos of a split: `records` have a video_id; identity is a digest of all that is in it."""

    records: Sequence[Any]
    class_names: list[str]
    feature_width: int

    @property
    def identity(self) -> str: ...

    def __len__(self) -> int: ...


class TrainingData(Protocol):
    """What a run trains on; validation is None where no video is held out.

    regression_stats [2, 2] float64: mean and standard deviation (rows) of (center shift, log size).
    """

    train: Source
    validation: Source | None
    regression_stats: np.ndarray


IndexedBatches = Iterable[tuple[np.ndarray, Batch]]
"""(indices of videos [v] int32, -1 for a padding row; this process's v rows of a batch)."""


class Inputs(Protocol):
    """The data of a run. Methods that read files raise InputError for whatever is wrong with them."""

    def prepare(self, workdir: str) -> Any:
        """Builds the dataset where it is absent, leaves data_report.json in workdir; returns what opens its splits."""

    def prepare_prediction(self, workdir: str) -> Any:
        """As `prepare`, of the test files alone, with or without ground truth."""

    def training_data(self, prepared: Any, hold_out: bool = True) -> TrainingData:
        """The train split; part of it is held out where the values and `hold_out` say so."""

    def test_data(self, prepared: Any) -> Source:
        """The test split."""

    def steps_per_epoch(self, source: Any) -> int:
        """At least 1. InputError: the videos do not fill one batch."""

    def train_batches(
        self, data: Any, start_step: int, num_steps: int, process_index: int, process_count: int
    ) -> Iterator[tuple[np.ndarray, Batch]]:
        """This process's rows of the batches start_step .. num_steps - 1."""

    def evaluation_batches(
        self, source: Any, videos_per_batch: int, process_index: int, process_count: int
    ) -> IndexedBatches:
        """Every video of the source once."""

    def ground_truth(self, source: Any) -> GroundTruth:
        """The annotated instances of a source, in seconds."""

    def video_facts(self, source: Any) -> Callable[[int], tuple[str, float, np.ndarray]]:
        """Index -> (video id, duration in seconds, proposals [N, 2] as fractions of the video)."""
