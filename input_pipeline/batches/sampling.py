"""What one visit of a training video contains: centers with their trees and targets, from keyed draws.

A center is a proposal (or an instance) that the losses judge. Each comes with a tree of related proposals (tree.py).
`draws` is an object with `choice(n) -> int` in 0..n-1 and `shuffle(array) -> None` (in place): `KeyedDraws` in
training, a NumPy RandomState in tests that repeat the authors' draws.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from contextloc_jax.core.errors import InputError
from contextloc_jax.core.structs import BACKGROUND, FOREGROUND, INCOMPLETE
from contextloc_jax.localization.alignment import training_ticks
from contextloc_jax.localization.neighbors import draw_tree, neighbor_candidates
from contextloc_jax.localization.tree import TREE_NODES
from input_pipeline.batches.targets import LabelRules, node_segments, pools, regression_targets
from input_pipeline.videos.records import VideoRecord


@dataclass(frozen=True)
class TrainingPool:
    """All parts of a training video that do not depend on a draw. M = F + I + B nodes, in the order of the types.

    segments    [M, 2]  int64    start_frame, end_frame
    ticks       [M, 4]  int64    frames, `training_ticks`
    candidates  [M, 10] int32    node indices, `neighbor_candidates`
    type_sizes  (F, I, B)        numbers of foreground nodes (the instances last), incomplete and background ones
    labels      [M]     int32    class index 1..K; 0 for background
    regression  [M, 2]  float32  standardized targets of foreground nodes, 0 elsewhere
    """

    segments: np.ndarray
    ticks: np.ndarray
    candidates: np.ndarray
    type_sizes: tuple[int, int, int]
    labels: np.ndarray
    regression: np.ndarray


class Sample(NamedTuple):
    """One draw: C centers in the order foreground, incomplete, background.

    trees        [C, 21] int32    node indices in the order of tree.py; column 0 is the center
    center_type  [C]     int32    as in `core.structs.Targets`
    label        [C]     int32    class index 1..K; 0 for background
    regression   [C, 2]  float32  standardized targets
    """

    trees: np.ndarray
    center_type: np.ndarray
    label: np.ndarray
    regression: np.ndarray


def training_pool(record: VideoRecord, rules: LabelRules, stats: np.ndarray) -> TrainingPool:
    """The pool of one video; `stats` [2, 2] float64 from `regression_stats`.

    InputError: the video has no foreground (training leaves out videos without an instance), or a foreground or
    incomplete proposal has no class.
    """
    indices = pools(record, rules)
    if not len(indices.foreground):
        raise InputError(f"video {record.video_id}: no annotated instance to train on: annotate it or leave it out")
    sizes = tuple(len(pool) for pool in indices)
    order = np.concatenate(indices)
    segments = node_segments(record)[order]
    labels = np.concatenate([record.proposal_labels, record.gt_labels])[order].astype(np.int32)
    labels[sizes[FOREGROUND] + sizes[INCOMPLETE] :] = 0
    _check_classes(record, segments, labels[: sizes[FOREGROUND] + sizes[INCOMPLETE]])
    regression = np.zeros((len(order), 2), np.float32)
    regression[: sizes[FOREGROUND]] = (regression_targets(record, indices.foreground) - stats[0]) / stats[1]
    ticks = training_ticks(segments, record.num_frames)
    return TrainingPool(segments, ticks, neighbor_candidates(segments), sizes, labels, regression)


def draw_sample(pool: TrainingPool, draws, centers: tuple[int, int, int]) -> Sample:
    """Draws the centers, uniformly and with replacement within their type, and a tree for each (golden "sampling").

    centers: how many of them are foreground, incomplete and background. A slot whose type has no node holds a
    foreground center instead, and its type says so. An incomplete slot that became foreground is still a negative of
    the completeness loss, by its position (the authors' rule).
    """
    types = center_types(pool.type_sizes, centers)
    trees = np.empty((len(types), TREE_NODES), np.int32)
    for slot, kind in enumerate(types):
        center = sum(pool.type_sizes[:kind]) + draws.choice(pool.type_sizes[kind])
        trees[slot] = draw_tree(center, pool.candidates, draws)
    drawn = trees[:, 0]
    return Sample(trees, types, pool.labels[drawn], pool.regression[drawn])


def center_types(type_sizes: Sequence[int], centers: tuple[int, int, int]) -> np.ndarray:
    """[C] int32: the types of the slots of a video, by the sizes (F, I, B) of its pools."""
    wanted = np.repeat([FOREGROUND, INCOMPLETE, BACKGROUND], centers)
    return np.array([kind if type_sizes[kind] else FOREGROUND for kind in wanted], np.int32)


def _check_classes(record: VideoRecord, segments: np.ndarray, labels: np.ndarray) -> None:
    for (start_frame, end_frame), label in zip(segments, labels, strict=False):
        if label < 1:
            raise InputError(
                f"video {record.video_id}: segment {start_frame}-{end_frame} overlaps an instance but has class "
                f"{label}: expected 1 or more; correct its line in the proposal list or the annotation"
            )
