"""Completeness and regression losses and their gradients on the measured cases."""

import jax
import numpy as np
import pytest

from contextloc_jax.localization.losses import completeness_loss, regression_loss
from tests.helpers.golden_model import golden, relative_error

GRADIENT_TOLERANCE = 1e-4
COMPLETENESS = [(f"comp{i}", tuple(int(n) for n in case)) for i, case in enumerate(golden("losses")["comp_cases"])]


@pytest.mark.parametrize("name, case", [*COMPLETENESS, ("comp_zero", (1, 3, 1, 7))])
def test_golden_completeness_loss(name, case):
    groups, classes, num_positive, size = case
    data = golden("losses")
    scores = data[f"{name}_pred"].reshape(groups, size, classes)
    label = data[f"{name}_labels"].reshape(groups, size)
    loss, gradient = jax.value_and_grad(completeness_loss)(scores, label, num_positive)
    assert np.allclose(loss, data[f"{name}_loss"][0], rtol=1e-5)
    measured = data[f"{name}_grad"].reshape(scores.shape)
    assert relative_error(gradient, measured) < GRADIENT_TOLERANCE


@pytest.mark.parametrize("case", range(len(golden("losses")["reg_cases"])))
def test_golden_regression_loss(case):
    data = golden("losses")
    scores, label, target = (data[f"reg{case}_{part}"] for part in ("pred", "labels", "targets"))
    loss, gradient = jax.value_and_grad(regression_loss)(scores, label, target, np.ones(len(label), bool), len(label))
    assert np.allclose(loss, data[f"reg{case}_loss"], rtol=1e-5)
    assert relative_error(gradient, data[f"reg{case}_grad"]) < GRADIENT_TOLERANCE
