"""The mode predict: makes detections in videos without annotations."""

from pathlib import Path

from contextloc_jax.commands.evaluated_runs import DETECTIONS
from contextloc_jax.commands.inputs import Inputs
from contextloc_jax.commands.prepare import prepare
from contextloc_jax.commands.results import write_unjudged
from contextloc_jax.commands.settings import Settings
from contextloc_jax.commands.trained import restore, score_split
from contextloc_jax.core.files import make_folder
from contextloc_jax.devices import processes
from contextloc_jax.localization.class_scores import check_not_oracle
from contextloc_jax.localization.decode import detect

FOLDER = "predictions"  # of the workdir


def predict(
    settings: Settings, workdir: str, inputs: Inputs, checkpoint: str = "best", strict_restore: bool = False
) -> None:
    """Restores a checkpoint, and writes detections.json, detections.csv and report.html to workdir/predictions.

    The videos are those of config.data.test_proposals; they need no ground truth. The files that evaluate wrote to
    workdir stay as they are.
    """
    check_not_oracle(settings.detection.class_scores)
    trained = restore(settings, workdir, checkpoint, strict_restore)
    source = inputs.test_data(processes.first_before_others(lambda: inputs.prepare_prediction(workdir)))
    stats = trained.regression_stats
    if stats is None:
        stats = inputs.training_data(prepare(workdir, inputs)).regression_stats
    scores = score_split(settings, inputs, source, trained, stats)
    if not processes.is_first():
        return
    detections = detect(scores, trained.class_names or source.class_names, settings.detection)
    folder = make_folder(Path(workdir) / FOLDER)
    write_unjudged(folder, detections, f"ContextLoc on {len(scores)} videos")
    print(f"checkpoint {trained.step}, {len(scores)} videos; detections: {folder / DETECTIONS}")
