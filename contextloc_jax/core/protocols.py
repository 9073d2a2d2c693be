"""All that a protocol defines: tIoU thresholds, averages, bins, subsets, and how streams are fused."""

from collections.abc import Iterable
from typing import NamedTuple

from contextloc_jax.core.errors import InputError

ORACLE = "oracle"  # instead of a file of video-level class scores: the annotated classes of each video
_FIVE = ("XS", "S", "M", "L", "XL")
_FOUR = ("XS", "S", "M", "L")
_FIFTHS = (0.2, 0.4, 0.6, 0.8)
_ACTIVITYNET_TIOU = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)


class Bins(NamedTuple):
    """The bins of one characteristic of instances: their names, and the largest value of each bin except the last."""

    names: tuple[str, ...]
    edges: tuple[float, ...]


class FusionSettings(NamedTuple):
    """How the authors make detections from fused streams. class_top_k has an effect only with video-level class scores.

    The fields mean the same as in config.detection.
    """

    top_k: int
    nms_tiou: float
    class_top_k: int


class Protocol(NamedTuple):
    """How detections of a dataset are measured.

    thresholds: tIoU thresholds of the mAP table, increasing. The next three are subsets of them.
    averaged: the average mAP is the mean over these.
    quoted: papers quote mAP at these.
    diagnosed: the diagnosis explains errors at these; the report judges every detection at the first of them.
    bins: {characteristic of an instance: its Bins}, as in DETAD (Alwassel et al., ECCV 2018).
    subsets: the names of the annotated subset that is evaluated.
    """

    name: str
    thresholds: tuple[float, ...]
    averaged: tuple[float, ...]
    quoted: tuple[float, ...]
    diagnosed: tuple[float, ...]
    bins: dict[str, Bins]
    subsets: tuple[str, ...]
    fusion: FusionSettings

    @property
    def keys(self) -> list[str]:
        """The thresholds as metrics.json writes them, with the fewest digits: '0.5', '0.55'."""
        return threshold_keys(self.thresholds)


def threshold_keys(thresholds: Iterable[float]) -> list[str]:
    """tIoU thresholds as the keys of metrics.json: '0.5', '0.55'."""
    return [f"{threshold:g}" for threshold in thresholds]


PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            "thumos14",
            thresholds=(0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9),
            averaged=(0.3, 0.4, 0.5, 0.6, 0.7),
            quoted=(0.5, 0.7),
            diagnosed=(0.5,),
            bins={
                "length": Bins(_FIVE, (3, 6, 12, 18)),  # seconds
                "coverage": Bins(_FIVE, (0.02, 0.04, 0.06, 0.08)),  # share of the video
                "instances": Bins(_FOUR, (1, 40, 80)),  # in the video
                "context": Bins(_FIVE, _FIFTHS),  # share of the surroundings that is free
            },
            subsets=("test", "testing"),
            fusion=FusionSettings(top_k=2000, nms_tiou=0.32, class_top_k=0),
        ),
        Protocol(
            "activitynet",
            thresholds=_ACTIVITYNET_TIOU,
            averaged=_ACTIVITYNET_TIOU,
            quoted=(0.5, 0.75),
            diagnosed=_ACTIVITYNET_TIOU,
            bins={
                "length": Bins(_FIVE, (30, 60, 120, 180)),
                "coverage": Bins(_FIVE, _FIFTHS),
                "instances": Bins(_FOUR, (1, 4, 8)),
                "context": Bins(_FIVE, _FIFTHS),
            },
            subsets=("validation", "val"),
            fusion=FusionSettings(top_k=100, nms_tiou=0.4, class_top_k=2),
        ),
    )
}


def find_protocol(name: str | Protocol) -> Protocol:
    """The protocol of this name; a Protocol is returned unchanged. InputError: no protocol has this name.

    Names come from outside: the command line, a configuration, metrics.json, a caller of the library. The code that
    reads a name calls this function once, and passes on the object.
    """
    if isinstance(name, Protocol):
        return name
    if name not in PROTOCOLS:
        raise InputError(f"protocol {name!r} is unknown; expected one of {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]
