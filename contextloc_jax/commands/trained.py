"""A trained model: restored from a workdir, and what it says of videos."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import numpy as np

from contextloc_jax.commands.inputs import Inputs, Source
from contextloc_jax.commands.settings import Settings
from contextloc_jax.core.progress import Progress
from contextloc_jax.core.structs import VideoScores
from contextloc_jax.devices import processes
from contextloc_jax.devices.inference import Inference
from contextloc_jax.devices.parallel import Parallel
from contextloc_jax.devices.preemption import NO_SIGNAL, StopSignal
from contextloc_jax.localization.contextloc import ContextLoc
from contextloc_jax.localization.video_scores import Video, to_video_scores
from contextloc_jax.workdir import config_file
from contextloc_jax.workdir.checkpoints import WEIGHTS, Checkpoints


class Trained(NamedTuple):
    """A checkpoint's model. regression_stats, class_names: None where it was imported from a file without them."""

    step: int
    variables: dict
    class_names: list[str] | None
    regression_stats: np.ndarray | None


def restore(settings: Settings, workdir: str, checkpoint: str, strict_restore: bool) -> Trained:
    """A checkpoint ('best', 'latest' or a step). InputError: none is there, or it was made with another model."""
    step, state, about = processes.from_first(lambda: Checkpoints(workdir).restore(checkpoint, WEIGHTS, strict_restore))
    config_file.check_same(about["config"], settings.flat, f"{workdir}: checkpoint {step}", config_file.SCORING_KEYS)
    stats = about["regression_stats"]
    return Trained(
        step,
        {name: state.get(name, {}) for name in WEIGHTS},
        about["class_names"],
        None if stats is None else np.array(stats),
    )


def make_inference(parallel: Parallel, model: ContextLoc, stop_signal: StopSignal = NO_SIGNAL) -> Inference:
    """The model's scores of every center, without dropout."""
    return Inference(parallel, lambda variables, batch: model.apply(variables, batch), stop_signal)


def score_videos(
    inference: Inference, variables: dict, regression_stats: np.ndarray, inputs: Inputs, source: Source, batches: Any
) -> Iterator[VideoScores]:
    """The scores of every video of a source, in every process. batches: inputs.evaluation_batches of the source."""
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
    """`score_videos` with a line of progress where it takes long."""
    parallel = settings.make_parallel()
    batches = inputs.evaluation_batches(source, parallel.num_local_devices, *this_process())
    progress = Progress("evaluate", len(source), quiet=not processes.is_first(), after_seconds=5)
    inference = make_inference(parallel, settings.model, stop_signal)
    scores = []
    for video in score_videos(inference, trained.variables, regression_stats, inputs, source, batches):
        scores.append(video)
        progress.update(len(scores))
    return scores


def this_process() -> tuple[int, int]:
    """(index, count) of the processes of this run."""
    return jax.process_index(), jax.process_count()
