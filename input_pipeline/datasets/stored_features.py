"""Snippet features in the form that a dataset stores: rescaled to bins if the settings say so, float16 or float32."""

from dataclasses import dataclass

import numpy as np

from contextloc_jax.core.errors import InputError, excerpt
from contextloc_jax.localization.alignment import rescale
from input_pipeline.datasets.split_files import FeatureFiles
from input_pipeline.videos.records import VideoRecord


def as_stored(features: np.ndarray, num_bins: int, dtype: str, where: str) -> np.ndarray:
    """Finite features [T, D] -> [T, D] of `dtype`; [num_bins, D] if num_bins is not 0.

    InputError, beginning with `where`: float16 cannot hold a value.
    """
    if num_bins:
        features = rescale(features, num_bins)
    with np.errstate(over="ignore"):
        stored = features.astype(dtype)
    if not np.isfinite(stored).all():
        raise InputError(f"{where} do not fit float16; set --config.data.feature_dtype=float32")
    return stored


@dataclass(frozen=True)
class StoredFeatures:
    """Reads the features of a record as they are stored: [T, width] of `dtype`, or [num_bins, width]."""

    files: FeatureFiles
    width: int
    num_bins: int
    dtype: str

    def __call__(self, record: VideoRecord) -> np.ndarray | None:
        """The features; None if they are not finite. InputError: they have any other fault."""
        features = self.files.read(record.video_id, self.width)
        if not np.isfinite(features).all():
            return None
        where = f"{self.files.path}: features of video {excerpt(record.video_id)}"
        return as_stored(features, self.num_bins, self.dtype, where)
