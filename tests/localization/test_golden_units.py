"""Snippets and bins of a segment, against the units that the authors' code pools over."""

import numpy as np

from contextloc_jax.localization.alignment import binned_snippets, segment_snippets
from tests.helpers.golden_data import GOLDEN
from tests.helpers.published import LENGTH, STRIDE


def test_golden_units_of_every_segment():
    pooling = np.load(GOLDEN / "pooling.npz")
    for video in pooling["video_names"]:
        units = segment_snippets(pooling[f"ticks_{video}"], len(pooling[f"features_{video}"]), STRIDE, LENGTH)
        np.testing.assert_array_equal(units, pooling[f"units_{video}"], err_msg=video)


def test_golden_units_of_rescaled_features():
    measured = np.load(GOLDEN / "pgcn.npz")["anet_units"]
    for num_frames, start_frame, end_frame, first, last in measured.tolist():
        ticks = np.array([[start_frame, end_frame, start_frame, end_frame]])
        action = binned_snippets(ticks, num_frames, num_bins=100)[0, 1]
        assert action.tolist() == [first, last], (num_frames, start_frame, end_frame)
