"""What the workdir of an evaluated run holds."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from contextloc_jax.core.errors import InputError
from contextloc_jax.core.files import read_json
from contextloc_jax.core.structs import GroundTruth
from contextloc_jax.interchange.score_files import load_ground_truth

SCORES, METRICS, DETECTIONS, GROUND_TRUTH = "scores.npz", "metrics.json", "detections.json", "ground_truth.npz"


class Measured(NamedTuple):
    """What a run's metrics.json says of how and on what it was evaluated."""

    protocol: str
    identity: str


def evaluated_folder(folder: Path, where: str) -> Path:
    if not folder.is_dir():
        raise InputError(f"{where}: there is no such folder; expected the workdir of an evaluated run")
    return folder


def ground_truth_of(folder: Path) -> GroundTruth:
    """What a run was evaluated against: beside its scores, or alone where another tool's detections were scored."""
    path = next((path for path in (folder / SCORES, folder / GROUND_TRUTH) if path.exists()), None)
    truth = load_ground_truth(path) if path else None
    if truth is None:
        raise InputError(f"{folder}: holds no ground truth; run --mode=evaluate or --mode=score there first")
    return truth


def read_metrics(folder: Path) -> Measured:
    content = read_json(folder / METRICS)
    try:
        measured = Measured(content["protocol"], content["data"]["identity"])
        if set(map(type, measured)) == {str}:
            return measured
    except (TypeError, KeyError):
        pass
    raise InputError(f"{folder / METRICS}: names no protocol or no data; is it the metrics.json of an evaluated run?")


def common_protocol(folders: Sequence[Path]) -> str:
    protocols = [read_metrics(folder).protocol for folder in folders]
    for folder, protocol in zip(folders, protocols, strict=True):
        if protocol != protocols[0]:
            raise InputError(
                f"{folders[0]} was evaluated under {protocols[0]}, {folder} under {protocol}; choose with --protocol"
            )
    return protocols[0]
