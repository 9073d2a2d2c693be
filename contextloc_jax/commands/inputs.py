"""The interface between a run and its data: the values that the data depends on, and what a run asks for.

`input_pipeline.inputs.Inputs` is made from InputValues and implements this interface. A benchmark or a test may use an
object that gives arrays. This package never imports TensorFlow, so the command line makes the object and passes it in.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from contextloc_jax.core.structs import Batch, GroundTruth


class InputValues(NamedTuple):
    """The values of a configuration that the input pipeline needs.

    dataset: its name.
    data: all keys below config.data, by flat name ('fps', 'synthetic.train_videos', ...). The dataset takes its own.
    data_dir: where prepared data lies; '' for workdir/tfds.
    labels: thresholds of foreground, incomplete and background, by their names in config.sampling.
    centers: numbers of foreground, incomplete and background centers of a video.
    The other fields are the keys of the same name in configs/default.py.
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
    """The videos of a split. Every record has a video_id. identity: a digest of all that the split contains."""

    records: Sequence[Any]
    class_names: list[str]
    feature_width: int

    @property
    def identity(self) -> str: ...

    def __len__(self) -> int: ...


class TrainingData(Protocol):
    """The data that a run trains on. validation: the held-out videos; None if there are none.

    regression_stats [2, 2] float64: mean and standard deviation (rows) of (center shift, log size).
    """

    train: Source
    validation: Source | None
    regression_stats: np.ndarray


IndexedBatches = Iterable[tuple[np.ndarray, Batch]]
"""(indices of videos [v] int32, -1 for a padding row; the v rows of a batch that belong to this process)."""


class Inputs(Protocol):
    """The data of a run. A method that reads files raises InputError if a file is wrong."""

    def prepare(self, workdir: str) -> Any:
        """Builds the dataset if it does not exist, writes data_report.json to workdir, and returns the prepared
        dataset."""

    def prepare_prediction(self, workdir: str) -> Any:
        """The same as `prepare`, but only for the test files, with or without ground truth."""

    def training_data(self, prepared: Any, hold_out: bool = True) -> TrainingData:
        """The train split. If validation_fraction > 0 and `hold_out`, part of it is held out."""

    def test_data(self, prepared: Any) -> Source:
        """The test split."""

    def steps_per_epoch(self, source: Any) -> int:
        """Training steps in one epoch, at least 1. InputError: the videos do not fill one batch."""

    def train_batches(
        self, data: Any, start_step: int, num_steps: int, process_index: int, process_count: int
    ) -> Iterator[tuple[np.ndarray, Batch]]:
        """The rows of this process in the batches start_step .. num_steps - 1, with the indices of their videos."""

    def evaluation_batches(
        self, source: Any, videos_per_batch: int, process_index: int, process_count: int
    ) -> IndexedBatches:
        """Every video of the source once."""

    def ground_truth(self, source: Any) -> GroundTruth:
        """The annotated instances of a source, in seconds."""

    def video_facts(self, source: Any) -> Callable[[int], tuple[str, float, np.ndarray]]:
        """Index -> (video id, duration in seconds, proposals [N, 2] as fractions of the video)."""
