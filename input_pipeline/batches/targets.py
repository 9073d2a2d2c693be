"""What training needs to know about a proposal: its type (foreground, incomplete, background) and its instance.

The nodes of a training video are its P proposals in file order, then its G instances: index P + j is instance j.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import ClassVar, NamedTuple

import numpy as np

from contextloc_jax.core.errors import InputError
from contextloc_jax.core.ranges import Range, between, check_ranges
from contextloc_jax.core.segments import pairwise, tiou_of
from input_pipeline.videos.records import VideoRecord


@dataclass(frozen=True)
class LabelRules:
    """The thresholds between the types of proposals: fractions in [0, 1]; "above" and "below" exclude equal values.

    Foreground: tIoU above `foreground_tiou`. Incomplete: tIoU below `incomplete_tiou`, and a share of the proposal
    above `incomplete_overlap_self` lies inside its instance. Background: not incomplete, tIoU below `background_tiou`,
    and the proposal covers a share of the video above `background_coverage`. The fields are keys of config.sampling.
    InputError: a value is outside its range, or thresholds contradict each other.
    """

    foreground_tiou: float
    incomplete_tiou: float
    incomplete_overlap_self: float
    background_tiou: float
    background_coverage: float

    RANGES: ClassVar[Mapping[str, Range]] = dict.fromkeys(
        ("foreground_tiou", "incomplete_tiou", "incomplete_overlap_self", "background_tiou", "background_coverage"),
        between(0, 1),
    )

    def __post_init__(self):
        check_ranges("config.sampling.", asdict(self), self.RANGES)
        for name in ("incomplete_tiou", "background_tiou"):
            if getattr(self, name) > self.foreground_tiou:
                raise InputError(
                    f"config.sampling.{name} {getattr(self, name)} is above foreground_tiou {self.foreground_tiou}; a "
                    "proposal would be of both types: lower it"
                )


class Pools(NamedTuple):
    """Indices [F], [I], [B] int64 of the nodes of a video, by type. All instances are foreground, after proposals."""

    foreground: np.ndarray
    incomplete: np.ndarray
    background: np.ndarray


def pools(record: VideoRecord, rules: LabelRules) -> Pools:
    """The three pools that centers are drawn from (golden "sampling": fg_idx, incomplete_idx, bg_idx)."""
    tiou = record.proposal_tiou
    incomplete = (tiou < rules.incomplete_tiou) & (record.proposal_overlap_self > rules.incomplete_overlap_self)
    background = (tiou < rules.background_tiou) & (record.proposal_coverage > rules.background_coverage) & ~incomplete
    instances = len(record.proposals) + np.arange(len(record.gt_segments))
    foreground = np.concatenate([np.flatnonzero(tiou > rules.foreground_tiou), instances])
    return Pools(foreground, np.flatnonzero(incomplete), np.flatnonzero(background))


def regression_targets(record: VideoRecord, foreground: np.ndarray) -> np.ndarray:
    """[F] indices as in `Pools.foreground` -> [F, 2] float64: (center shift / duration, log duration ratio).

    The target is the instance with the highest tIoU. Durations here are end - start + 1 (golden "sampling":
    fg_reg_targets). InputError: the record has no instance to regress to.
    """
    segments = node_segments(record)[foreground]
    if not len(segments):
        return np.zeros((0, 2))
    if not len(record.gt_segments):
        raise InputError(
            f"video {record.video_id}: {len(segments)} proposals are labeled foreground, but it has no annotated "
            "instance: add its annotations or drop the proposals' labels"
        )
    nearest = record.gt_segments[pairwise(tiou_of, segments, record.gt_segments).argmax(axis=1)]
    duration = segments[:, 1] - segments[:, 0] + 1
    shift = (nearest.sum(axis=1) - segments.sum(axis=1)) / 2 / duration
    return np.stack([shift, np.log((nearest[:, 1] - nearest[:, 0] + 1) / duration)], axis=1)


def regression_stats(records: Iterable[VideoRecord], rules: LabelRules) -> np.ndarray:
    """[[mean shift, mean log ratio], [their population std]] float64 over all foreground proposals (golden "sampling").

    The instances themselves are left out, because their targets are 0. If there is no foreground proposal, the mean is
    0. A std of 0 is replaced by 1, so that targets can be divided by it.
    """
    targets = [np.zeros((0, 2))]
    for record in records:
        foreground = pools(record, rules).foreground
        targets.append(regression_targets(record, foreground[foreground < len(record.proposals)]))
    targets = np.concatenate(targets)
    if not len(targets):
        return np.array([[0.0, 0.0], [1.0, 1.0]])
    std = targets.std(axis=0)
    return np.stack([targets.mean(axis=0), np.where(std > 0, std, 1.0)])


def node_segments(record: VideoRecord) -> np.ndarray:
    """[P + G, 2] frames: the proposals, then the instances. The indices of `Pools` point into these rows."""
    return np.concatenate([record.proposals.reshape(-1, 2), record.gt_segments.reshape(-1, 2)])
