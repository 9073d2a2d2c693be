"""The mode fuse: fuses several evaluated runs (streams, such as RGB and optical flow) into one.

Reads scores.npz of every workdir, averages the raw scores by weight (localization/fusion.py), makes detections with the
authors' settings for fused streams under the protocol, and writes the same files as evaluate. It needs no model:
neither jax nor TensorFlow is imported. Nothing is written before everything is read and computed.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from contextloc_jax.commands.evaluated_runs import (
    SCORES,
    check_evaluated_folder,
    chosen_protocol,
    ground_truth_of,
    read_metrics,
)
from contextloc_jax.commands.results import write_results
from contextloc_jax.core.errors import InputError, excerpt
from contextloc_jax.core.protocols import ORACLE, Protocol
from contextloc_jax.core.structs import GroundTruth
from contextloc_jax.evaluation.matching import check_same_ground_truth
from contextloc_jax.interchange.score_files import load_scores
from contextloc_jax.localization.decode import DetectionSettings
from contextloc_jax.localization.fusion import fuse as fuse_scores

STREAMS_FORM = "expected --streams=NAME=DIR:WEIGHT,..., such as rgb=runs/rgb:1,flow=runs/flow:1.2"


class Stream(NamedTuple):
    """One evaluated workdir to fuse, and its weight."""

    name: str
    workdir: Path
    weight: float


def fuse(
    workdir: str,
    streams: str,
    protocol: str | None,
    class_scores: str | None = None,
    class_top_k: int | None = None,
) -> None:
    """Fuses the scores of evaluated workdirs by their weights, and writes the same files as evaluate.

    streams: see STREAMS_FORM. protocol: its name; None: the one that all streams were evaluated under.
    class_scores: as config.detection.class_scores; None: none.
    class_top_k: as config.detection.class_top_k; None: that of the protocol.
    InputError: a flag is wrong, or the streams do not fit each other.
    """
    parsed = parse_streams(streams)
    if class_top_k is not None and not class_scores:
        raise InputError(f"--class_top_k needs --class_scores, which is not given; give a file or {ORACLE!r}")
    for stream in parsed:
        check_evaluated_folder(stream.workdir, f"--streams: {stream.name}={stream.workdir}")
        if stream.workdir.resolve() == Path(workdir).resolve():
            raise InputError(f"--workdir={workdir} is the stream {stream.name}; the fusion needs a folder of its own")
    names, folders = [stream.name for stream in parsed], [stream.workdir for stream in parsed]
    settings = _detection_settings(chosen_protocol(protocol, folders), class_scores, class_top_k)
    truth = _common_ground_truth(folders, names)
    scores = fuse_scores([load_scores(folder / SCORES) for folder in folders], [s.weight for s in parsed], names)
    title = "Fusion of " + ", ".join(f"{stream.name} (weight {stream.weight:g})" for stream in parsed)
    print(f"{title}: {len(scores)} videos")
    write_results(workdir, scores, truth, settings, _fused_identity(folders), title)


def parse_streams(text: str) -> list[Stream]:
    """'rgb=DIR:1,flow=DIR:1.2' -> streams. InputError: another form, a name or folder twice, or a wrong weight."""
    streams = []
    for part in text.split(","):
        name, equals, rest = part.strip().partition("=")
        folder, colon, weight = rest.rpartition(":")
        if not (name and equals and folder and colon):
            raise InputError(f"--streams: {excerpt(part)} is not a stream; {STREAMS_FORM}")
        try:
            streams.append(Stream(name, Path(folder), float(weight)))
        except ValueError:
            raise InputError(f"--streams: weight {excerpt(weight)} of {name} is not a number; {STREAMS_FORM}") from None
        if not 0 <= streams[-1].weight < np.inf:
            raise InputError(f"--streams: weight of {name} is {weight}; expected a finite number >= 0")
    for what, keys in (("name", [s.name for s in streams]), ("folder", [s.workdir.resolve() for s in streams])):
        if len(set(keys)) < len(keys):
            twice = next(stream for stream, key in zip(streams, keys, strict=True) if keys.count(key) > 1)
            raise InputError(f"--streams: the {what} of {twice.name} occurs twice; expected every stream once")
    if len(streams) < 2:
        raise InputError(f"--streams={text}: found one stream, expected at least two; {STREAMS_FORM}")
    if not sum(stream.weight for stream in streams):
        raise InputError(f"--streams={text}: all weights are 0; {STREAMS_FORM}")
    return streams


def _detection_settings(protocol: Protocol, class_scores: str | None, class_top_k: int | None) -> DetectionSettings:
    """The authors' settings for fused streams under a protocol."""
    usual = protocol.fusion
    return DetectionSettings(
        protocol=protocol,
        top_k=usual.top_k,
        nms_tiou=usual.nms_tiou,
        nms="hard",
        class_scores=class_scores or "",
        class_top_k=usual.class_top_k if class_top_k is None else class_top_k,
    )


def _common_ground_truth(folders: Sequence[Path], names: Sequence[str]) -> GroundTruth:
    """The ground truth that all streams were evaluated against. InputError: they have different ones."""
    first, *others = [ground_truth_of(folder) for folder in folders]
    for name, truth in zip(names[1:], others, strict=True):
        check_same_ground_truth(first, truth, (names[0], name))
        if truth.labels != first.labels:
            raise InputError(
                f"{names[0]} and {name} have different classes, or the same in another order; evaluate both with the "
                "same classes"
            )
    return first


def _fused_identity(folders: Sequence[Path]) -> str:
    """The identity of the data. Streams have different identities if their features differ: then a digest of these."""
    identities = sorted({read_metrics(folder).identity for folder in folders})
    return identities[0] if len(identities) == 1 else hashlib.sha256("\n".join(identities).encode()).hexdigest()
