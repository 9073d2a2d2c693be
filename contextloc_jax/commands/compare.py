"""The mode compare."""

from pathlib import Path

from contextloc_jax.commands.evaluated_runs import DETECTIONS, common_protocol, evaluated_folder, ground_truth_of
from contextloc_jax.core.errors import InputError
from contextloc_jax.core.files import make_folder, write_json
from contextloc_jax.evaluation import significance
from contextloc_jax.evaluation.matching import check_names, check_same_ground_truth
from contextloc_jax.interchange.detection_files import read_detections
from contextloc_jax.report.tables import format_comparison, verdict_text


def compare(workdir: str, runs: str, protocol: str | None) -> None:
    """Says whether the second of two runs differs from the first by more than chance; leaves comparison.json."""
    names = [name for name in runs.split(",") if name]
    if len(names) != 2:
        raise InputError(f"--runs={runs}: found {len(names)} folders, expected two evaluated workdirs, --runs=A,B")
    folders = [evaluated_folder(Path(name), f"--runs: {name}") for name in names]
    if folders[0].resolve() == folders[1].resolve():
        raise InputError(f"--runs={runs}: both are the same folder; expected two runs")
    protocol = protocol or common_protocol(folders)
    truths = [ground_truth_of(folder) for folder in folders]
    check_same_ground_truth(*truths, (names[0], names[1]))
    paths = [folder / DETECTIONS for folder in folders]
    found = [read_detections(path) for path in paths]
    for path, detections in zip(paths, found, strict=True):
        check_names(detections, truths[0], path)
    comparison = significance.compare(*found, truths[0], protocol)
    write_json(make_folder(workdir) / "comparison.json", comparison)
    print(format_comparison(comparison, (names[0], names[1])))
    print(verdict_text(comparison, names, len(truths[0].video_ids)))
