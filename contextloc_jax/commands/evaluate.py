"""The mode evaluate: evaluates a checkpoint on the test split."""

from typing import Any

from contextloc_jax.commands.inputs import Inputs
from contextloc_jax.commands.prepare import prepare
from contextloc_jax.commands.results import write_results
from contextloc_jax.commands.settings import Settings
from contextloc_jax.commands.trained import Trained, restore, score_split
from contextloc_jax.core.errors import InputError
from contextloc_jax.devices import processes
from contextloc_jax.devices.preemption import NO_SIGNAL, StopSignal


def evaluate(
    settings: Settings, workdir: str, inputs: Inputs, checkpoint: str = "best", strict_restore: bool = False
) -> None:
    """Restores a checkpoint ('best', 'latest' or a step), and writes scores.npz, detections.json, metrics.json,
    diagnosis.json and report.html to workdir."""
    trained = restore(settings, workdir, checkpoint, strict_restore)
    evaluate_trained(settings, workdir, inputs, prepare(workdir, inputs), trained)


def evaluate_trained(
    settings: Settings,
    workdir: str,
    inputs: Inputs,
    prepared: Any,
    trained: Trained,
    stop_signal: StopSignal = NO_SIGNAL,
) -> None:
    """Evaluates a restored model on the test split of a prepared dataset. Raises Stopped if asked to stop."""
    source = inputs.test_data(prepared)
    if trained.class_names not in (None, source.class_names):
        raise InputError(
            f"{workdir}: checkpoint {trained.step} was trained on the classes {trained.class_names}, but the data has "
            f"{source.class_names}; evaluate on the dataset it was trained on"
        )
    stats = trained.regression_stats
    if stats is None:
        stats = inputs.training_data(prepared).regression_stats
    scores = score_split(settings, inputs, source, trained, stats, stop_signal)
    if not processes.is_first():
        return
    print(f"checkpoint {trained.step}, {len(scores)} test videos")
    title = f"ContextLoc on {settings.inputs.dataset}"
    write_results(workdir, scores, inputs.ground_truth(source), settings.detection, source.identity, title)
