"""The mode compare: is the second of two evaluated runs better than the first, or is the difference chance?

Reads detections.json and the ground truth of both workdirs, matches each run once and writes comparison.json. It needs
no model: neither jax nor TensorFlow is imported. Nothing is written before everything is read and computed.
"""

from pathlib import Path

from contextloc_jax.commands.evaluated_runs import DETECTIONS, check_evaluated_folder, chosen_protocol, ground_truth_of
from contextloc_jax.core.errors import InputError
from contextloc_jax.core.files import make_folder, write_json
from contextloc_jax.evaluation import significance
from contextloc_jax.evaluation.matching import check_names, check_same_ground_truth, find_matches
from contextloc_jax.interchange.detection_files import read_detections
from contextloc_jax.report.tables import format_comparison, verdict_text


def compare(workdir: str, runs: str, protocol: str | None) -> None:
    """Prints whether the second of two runs differs from the first by more than chance, and writes comparison.json.

    runs: two workdirs, 'A,B'. protocol: its name; None: the one that both were evaluated under.
    InputError: a run was not evaluated, or the runs have different protocols or ground truth.
    """
    names = [name for name in runs.split(",") if name]
    if len(names) != 2:
        raise InputError(f"--runs={runs}: found {len(names)} folders, expected two evaluated workdirs, --runs=A,B")
    folders = [Path(name) for name in names]
    for folder in folders:
        check_evaluated_folder(folder, f"--runs: {folder}")
    if folders[0].resolve() == folders[1].resolve():
        raise InputError(f"--runs={runs}: both are the same folder; expected two runs")
    chosen = chosen_protocol(protocol, folders)
    truths = [ground_truth_of(folder) for folder in folders]
    check_same_ground_truth(*truths, (names[0], names[1]))
    paths = [folder / DETECTIONS for folder in folders]
    found = [read_detections(path) for path in paths]
    for path, detections in zip(paths, found, strict=True):
        check_names(detections, truths[0], path)
    matches = [find_matches(detections, truths[0], chosen.thresholds) for detections in found]
    comparison = significance.compare(*matches, chosen)
    write_json(make_folder(workdir) / "comparison.json", comparison)
    print(format_comparison(comparison, (names[0], names[1])))
    print(verdict_text(comparison, names, len(truths[0].video_ids)))
