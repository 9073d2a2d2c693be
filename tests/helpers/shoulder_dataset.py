"""The shoulder dataset, with fewer columns than the demo's, which is quicker to prepare."""

import pytest

from input_pipeline.datasets import prepare, shoulder
from tests.helpers.published import data_settings


def prepare_shoulder(data_dir, width: int = 16, **changes):
    """The builder of the dataset below `data_dir`, with features of this width; changes are of config.data."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shoulder, "FEATURE_WIDTH", width)
        return prepare("shoulder", data_dir, data_settings(**changes))
