"""scores.npz: scores of proposals and the ground truth they were evaluated against. ground_truth.npz: only the latter.

The same content gives the same bytes.
"""

import io
import os
import zipfile
from collections.abc import Iterable, Sequence

import numpy as np

from contextloc_jax.core.errors import InputError
from contextloc_jax.core.files import write_whole
from contextloc_jax.core.structs import GroundTruth, VideoScores, check_scores


def save_scores(
    path: str | os.PathLike, scores: Sequence[VideoScores], ground_truth: GroundTruth | None = None
) -> None:
    """Writes the scores of all proposals and their ground truth. --mode=fuse reads them.

    InputError: scores are not finite or have wrong shapes, or the file cannot be written.
    """
    check_scores(scores, None)
    arrays = {
        "video_ids": np.array([video.video_id for video in scores]),
        "duration_seconds": np.array([video.duration_seconds for video in scores], np.float64),
        "num_proposals": np.array([len(video.proposals) for video in scores], np.int64),
    }
    for field in ("proposals", "activity", "completeness", "regression"):
        arrays[field] = np.concatenate([getattr(video, field) for video in scores])
    _save_arrays(path, arrays | (_ground_truth_arrays(ground_truth) if ground_truth else {}))


def save_ground_truth(path: str | os.PathLike, ground_truth: GroundTruth) -> None:
    """Writes the ground truth that detections were evaluated against, as in scores.npz but without scores."""
    _save_arrays(path, _ground_truth_arrays(ground_truth))


def load_scores(path: str | os.PathLike) -> list[VideoScores]:
    """Reads the scores that `save_scores` wrote. InputError: there is no such file, or it holds something else."""
    names = ("video_ids", "duration_seconds", "num_proposals", "proposals", "activity", "completeness", "regression")
    arrays = _load_arrays(path, names)
    if arrays is None:
        raise InputError(f"{path}: holds no scores; expected a scores.npz that evaluate wrote")
    video_ids, durations, counts, *columns = arrays
    ends = np.cumsum(counts)[:-1]
    try:
        parts = [np.split(column, ends) for column in columns]
        scores = [VideoScores(*row) for row in zip(video_ids.tolist(), durations.tolist(), *parts, strict=True)]
    except ValueError as error:
        raise InputError(f"{path}: damaged scores ({error}); evaluate again") from None
    check_scores(scores, None, where=f"{path}: ")
    return scores


def load_ground_truth(path: str | os.PathLike) -> GroundTruth | None:
    """Reads the ground truth that `save_scores` or `save_ground_truth` wrote; None if the file has none.

    InputError: there is no such file, or it cannot be read.
    """
    arrays = _load_arrays(path, [f"ground_truth.{field}" for field in GroundTruth._fields])
    if arrays is None:
        return None
    truth = GroundTruth(*arrays)
    return truth._replace(video_ids=truth.video_ids.tolist(), labels=truth.labels.tolist())


def _ground_truth_arrays(ground_truth: GroundTruth) -> dict[str, np.ndarray]:
    return {f"ground_truth.{field}": np.asarray(values) for field, values in ground_truth._asdict().items()}


def _save_arrays(path: str | os.PathLike, arrays: dict[str, np.ndarray]) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    write_whole(path, buffer.getbuffer())


def _load_arrays(path: str | os.PathLike, names: Iterable[str]) -> list[np.ndarray] | None:
    """The named arrays; None if the file does not have all of them."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return [file[name] for name in names] if set(names) <= set(file.files) else None
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file; evaluate the run first") from None
    except (OSError, ValueError, AttributeError, EOFError, zipfile.BadZipFile, NotImplementedError) as error:
        raise InputError(f"{path}: cannot be read as scores ({error}); evaluate again") from None
