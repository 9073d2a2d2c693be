"""What compare and fuse read from an evaluated run: the files of its workdir, its protocol and its ground truth.

evaluate and fuse write scores.npz, which also holds the ground truth. score writes ground_truth.npz. All three write
detections.json and metrics.json.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from contextloc_jax.core.errors import InputError
from contextloc_jax.core.files import read_json
from contextloc_jax.core.protocols import PROTOCOLS, Protocol, find_protocol
from contextloc_jax.core.structs import GroundTruth
from contextloc_jax.interchange.score_files import load_ground_truth

SCORES, METRICS, DETECTIONS, GROUND_TRUTH = "scores.npz", "metrics.json", "detections.json", "ground_truth.npz"


class Measured(NamedTuple):
    """What metrics.json says about the evaluation of a run. identity: the digest of the evaluated data."""

    protocol: Protocol
    identity: str


def check_evaluated_folder(folder: Path, where: str) -> None:
    """InputError: the folder does not exist. where: the flag that names it, for the message."""
    if not folder.is_dir():
        raise InputError(f"{where}: there is no such folder; expected the workdir of an evaluated run")


def ground_truth_of(folder: Path) -> GroundTruth:
    """The ground truth of an evaluated run. InputError: the run was not evaluated, or its file is damaged."""
    path = next((path for path in (folder / SCORES, folder / GROUND_TRUTH) if path.exists()), None)
    truth = load_ground_truth(path) if path else None
    if truth is None:
        raise InputError(f"{folder}: holds no ground truth; run --mode=evaluate or --mode=score there first")
    return truth


def read_metrics(folder: Path) -> Measured:
    """Reads metrics.json of a run. InputError: the file is missing, damaged or of another kind."""
    content = read_json(folder / METRICS)
    try:
        protocol, identity = content["protocol"], content["data"]["identity"]
        if isinstance(identity, str) and protocol in PROTOCOLS:
            return Measured(PROTOCOLS[protocol], identity)
    except (TypeError, KeyError):
        pass
    raise InputError(
        f"{folder / METRICS}: names no data, or no known protocol; expected the metrics.json of an evaluated run, with"
        f" protocol {' or '.join(PROTOCOLS)}"
    )


def chosen_protocol(name: str | None, folders: Sequence[Path]) -> Protocol:
    """The protocol of this name; if `name` is None, the one that all runs were evaluated under.

    InputError: no protocol has this name, or the runs have different protocols.
    """
    if name:
        return find_protocol(name)
    protocols = [read_metrics(folder).protocol for folder in folders]
    for folder, protocol in zip(folders, protocols, strict=True):
        if protocol.name != protocols[0].name:
            raise InputError(
                f"{folders[0]} was evaluated under {protocols[0].name}, {folder} under {protocol.name};"
                " choose with --protocol"
            )
    return protocols[0]
