"""A trained model: restored from a workdir, and its scores of videos."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import numpy as np

from contextloc_jax.commands.inputs import Inputs, Source
from contextloc_jax.commands.settings import Settings
from contextloc_jax.core.errors import InputError
from contextloc_jax.core.progress import Progress
from contextloc_jax.core.structs import VideoScores
from contextloc_jax.devices import processes
from contextloc_jax.devices.inference import Inference
from contextloc_jax.devices.parallel import Parallel
from contextloc_jax.devices.preemption import NO_SIGNAL, StopSignal
from contextloc_jax.localization.contextloc import ContextLoc, feature_width_of
from contextloc_jax.localization.video_scores import Video, to_video_scores
from contextloc_jax.workdir import config_file
from contextloc_jax.workdir.checkpoints import WEIGHTS, Checkpoints


class Trained(NamedTuple):
    """The model of a checkpoint. config: the flat configuration of its training. regression_stats: [2, 2], as in
    TrainingData. regression_stats and class_names are None if the model was imported from a file without them."""

    step: int
    config: dict
    variables: dict
    class_names: list[str] | None
    regression_stats: np.ndarray | None


def restore(settings: Settings, workdir: str, checkpoint: str, strict_restore: bool) -> Trained:
    """Reads a checkpoint ('best', 'latest' or a step). InputError: there is none, or its model is another."""
    trained = processes.from_first(lambda: read_trained(workdir, checkpoint, strict_restore))
    where = f"{workdir}: checkpoint {trained.step}"
    config_file.check_same(trained.config, settings.flat, where, config_file.SCORING_KEYS)
    return trained


def read_trained(workdir: str, checkpoint: str, strict_restore: bool) -> Trained:
    """The same as `restore`, but only in this process, and for any model."""
    step, state, about = Checkpoints(workdir).restore(checkpoint, WEIGHTS, strict_restore)
    stats = about["regression_stats"]
    return Trained(
        step,
        about["config"],
        {name: state.get(name, {}) for name in WEIGHTS},
        about["class_names"],
        None if stats is None else np.array(stats),
    )


def make_inference(parallel: Parallel, model: ContextLoc, stop_signal: StopSignal = NO_SIGNAL) -> Inference:
    """Inference that gives the scores of every center, without dropout."""
    return Inference(parallel, lambda variables, batch: model.apply(variables, batch), stop_signal)


def score_videos(
    inference: Inference, variables: dict, regression_stats: np.ndarray, inputs: Inputs, source: Source, batches: Any
) -> Iterator[VideoScores]:
    """The scores of every video of a source, in every process. batches: inputs.evaluation_batches(source, ...)."""
    facts = inputs.video_facts(source)
    for index, row in inference(variables, batches):
        yield to_video_scores(row, Video(*facts(index)), regression_stats)


def score_split(
    settings: Settings,
    inputs: Inputs,
    source: Source,
    trained: Trained,
    regression_stats: np.ndarray,
    stop_signal: StopSignal = NO_SIGNAL,
) -> list[VideoScores]:
    """`score_videos` as a list, with a line of progress if it takes long."""
    check_feature_width(trained, source.feature_width, "the dataset's features")
    parallel = settings.make_parallel()
    batches = inputs.evaluation_batches(source, parallel.num_local_devices, *this_process())
    progress = Progress("evaluate", len(source), quiet=not processes.is_first(), after_seconds=5)
    inference = make_inference(parallel, settings.model, stop_signal)
    scores = []
    for video in score_videos(inference, trained.variables, regression_stats, inputs, source, batches):
        scores.append(video)
        progress.update(len(scores))
    return scores


def check_feature_width(trained: Trained, width: int, what: str) -> None:
    """InputError: the model reads features of another width. what: the features, for the message."""
    expected = feature_width_of(trained.variables["params"])
    if width != expected:
        raise InputError(
            f"{what} are {width} wide; checkpoint {trained.step} was trained on features of width {expected}; "
            "use the same features"
        )


def this_process() -> tuple[int, int]:
    """(index, count) of the processes of this run."""
    return jax.process_index(), jax.process_count()
