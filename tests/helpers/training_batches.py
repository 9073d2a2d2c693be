"""Training batches of small videos, and whether two batches are the same."""

import numpy as np

from input_pipeline.batches.targets import regression_stats
from input_pipeline.batches.training_batches import TrainingBatches
from tests.helpers.published import ALIGN, CENTERS, RULES


def training_batches(source, **settings) -> TrainingBatches:
    defaults = {
        "batch_size": 4, "seed": 3, "visits_per_epoch": 5, "rules": RULES, "align": ALIGN, "centers": CENTERS
    }  # fmt: skip
    stats = regression_stats(source.records, RULES)
    return TrainingBatches(source, regression_stats=stats, **(defaults | settings))


def assert_batches_equal(left, right):
    np.testing.assert_array_equal(left[0], right[0])
    for name, a, b in zip(left[1]._fields, left[1], right[1], strict=True):
        if name == "targets" and a is not None:
            for one, other in zip(a, b, strict=True):
                np.testing.assert_array_equal(one, other, strict=True)
        elif name != "targets":
            np.testing.assert_array_equal(a, b, err_msg=name, strict=True)
