"""The losses against the NumPy reference: weights, masks, hard examples, and shares of devices that add up."""

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contextloc_jax.core.structs import BACKGROUND, FOREGROUND, INCOMPLETE, Scores, Targets, count_centers
from contextloc_jax.localization.losses import LossWeights, activity_loss, completeness_loss, losses, regression_loss
from tests.helpers import reference_model as reference
from tests.helpers.compiling import quickly_compiled
from tests.helpers.finite_differences import assert_gradients
from tests.helpers.published import WEIGHTS
from tests.helpers.random_videos import largest_difference, properties

VIDEOS, CLASSES = 4, 3
SLOTS = {"authors": (1, 6, 1), "several": (2, 13, 2)}  # foreground, incomplete, background

seeds = st.integers(0, 2**32 - 1)
each_layout = pytest.mark.parametrize("layout", SLOTS)


def draw(seed, layout):
    """Scores and Targets of VIDEOS videos; some slots hold a foreground sample because their pool was empty."""
    rng = np.random.default_rng(seed)
    foreground, incomplete, background = SLOTS[layout]
    centers = sum(SLOTS[layout])
    scores = Scores(
        2 * rng.standard_normal((VIDEOS, centers, CLASSES + 1)),
        rng.standard_normal((VIDEOS, centers, CLASSES)),
        rng.standard_normal((VIDEOS, centers, CLASSES, 2)),
    )
    kind = np.array([FOREGROUND] * foreground + [INCOMPLETE] * incomplete + [BACKGROUND] * background, np.int32)
    kind = np.where(rng.random((VIDEOS, centers)) < 0.15, FOREGROUND, kind).astype(np.int32)
    label = np.where(kind == BACKGROUND, 0, rng.integers(1, CLASSES + 1, kind.shape)).astype(np.int32)
    totals = np.tile(count_centers(kind), (VIDEOS, 1))
    return scores, Targets(kind, label, 1.5 * rng.standard_normal((VIDEOS, centers, 2)), totals)


def weights_of(layout) -> LossWeights:
    foreground, _, background = SLOTS[layout]
    return LossWeights(num_foreground=foreground, num_background=background, completeness=0.3, regression=0.7)


def expected_losses(scores, targets, layout):
    foreground, _, background = SLOTS[layout]
    rows = [reference.VideoScores(*video) for video in zip(*scores, strict=True)]
    return reference.losses(rows, targets, foreground, background, (0.3, 0.7))


compiled = quickly_compiled(losses, static_argnums=2)


@quickly_compiled
def gradient_of_total(scores, targets):
    return jax.grad(lambda s: losses(s, targets, WEIGHTS).total)(scores)


@each_layout
@properties
@given(seeds)
def test_losses_are_the_reference(layout, seed):
    scores, targets = draw(seed, layout)
    with jax.enable_x64(True):
        found = compiled(scores, targets, weights_of(layout))
    assert np.allclose(found, expected_losses(scores, targets, layout), rtol=1e-12, atol=1e-14)


@each_layout
def test_gradients_are_the_slopes_of_the_reference(layout):
    scores, targets = draw(9, layout)
    with jax.enable_x64(True):
        gradients = quickly_compiled(jax.grad(lambda s: losses(s, targets, weights_of(layout)).total))(scores)
    assert_gradients(lambda s: expected_losses(Scores(*s), targets, layout)[3], scores, gradients)


@pytest.mark.parametrize("layout, devices", [("authors", 2), ("several", 4)])
def test_shares_of_devices_add_up_to_the_loss(layout, devices):
    """Each device divides by the counts of all, however unevenly its videos hold foreground."""
    scores, targets = draw(devices, layout)
    weights = weights_of(layout)

    def total_of_shares(scores):
        split = jax.tree.map(lambda a: a.reshape(devices, -1, *a.shape[1:]), (scores, targets))
        shares = jax.vmap(lambda s, t: losses(s, t, weights, VIDEOS))(*split)
        summed = jax.tree.map(lambda share: share.sum(), shares)
        return summed.total, summed

    with jax.enable_x64(True):
        gradients, found = quickly_compiled(jax.grad(total_of_shares, has_aux=True))(scores)
        whole = quickly_compiled(jax.grad(lambda s: losses(s, targets, weights).total))(scores)
    assert np.allclose(found, expected_losses(scores, targets, layout), rtol=1e-12, atol=1e-14)
    assert largest_difference(gradients, whole) < 1e-12


def test_the_total_weighs_the_parts():
    scores, targets = draw(0, "authors")
    activity, completeness, regression, total = map(float, compiled(scores, targets, WEIGHTS))
    assert total == pytest.approx(activity + 0.5 * completeness + 0.5 * regression, rel=1e-6)


def test_every_loss_reads_only_its_own_centers_and_classes():
    scores, targets = draw(3, "authors")
    gradient = gradient_of_total(scores, targets)
    kind, label = targets.center_type, targets.label
    assert np.array_equal(np.any(gradient.activity, axis=-1), kind != INCOMPLETE)
    assert np.array_equal(np.any(gradient.regression, axis=(-2, -1)), kind == FOREGROUND)
    assert not np.any(gradient.completeness[:, -1])
    own = np.arange(CLASSES) == label[..., None] - 1
    assert not np.any(np.where(own, 0, gradient.completeness))
    assert not np.any(np.where(own[..., None], 0, gradient.regression))


def test_activity_loss_is_the_mean_cross_entropy_of_the_masked_rows():
    logits = np.log(np.array([[1, 1, 2], [8, 1, 1], [5, 3, 2]], np.float32))
    label = np.array([2, 1, 0])
    assert activity_loss(logits, label, np.array([True, False, True]), 2) == pytest.approx(np.log(2), rel=1e-6)
    assert activity_loss(logits, label, np.array([False, True, False]), 1) == pytest.approx(np.log(10), rel=1e-6)
    huge = activity_loss(1e4 * np.eye(2, dtype=np.float32), np.array([0, 1]), np.array([True, True]), 2)
    assert huge == 0


@pytest.mark.parametrize(
    "num_negative, groups, kept, counted",
    [(6, 1, 1, 1), (6, 2, 1, 2), (11, 1, 1, 1), (12, 1, 2, 2), (12, 2, 2, 4), (17, 3, 2, 8), (1, 1, 1, 1)],
)
def test_only_the_hardest_negatives_count(num_negative, groups, kept, counted):
    """kept: 17 % of a group, at least one; counted in the denominator: 17 % of all negatives, at least one."""
    scores = np.zeros((groups, 1 + num_negative, 2), np.float32)
    scores[:, :, 1] = 100  # of another class
    scores[:, 0, 0] = 0.25  # short of 1 by 0.75
    scores[:, 1:, 0] = np.arange(num_negative)
    label = np.ones((groups, 1 + num_negative), np.int32)
    hardest = sum(1 + value for value in range(num_negative - kept, num_negative))
    expected = groups * (0.75 + hardest) / (groups + counted)
    assert completeness_loss(scores, label, 1) == pytest.approx(expected, rel=1e-6)


def test_completeness_hinges_end_at_plus_and_minus_one():
    label = np.ones((1, 3), np.int32)
    inactive = np.array([[[1.0], [-1.0], [-2.0]]])
    assert completeness_loss(inactive, label, 1) == 0
    assert completeness_loss(inactive * 0.5, label, 1) == pytest.approx((0.5 + 0.5) / 2)


def test_an_incomplete_slot_with_a_foreground_sample_stays_a_negative():
    """Its type makes it count in the activity and regression losses, its position makes it a negative."""
    scores, targets = draw(1, "authors")
    targets = targets._replace(center_type=np.full_like(targets.center_type, FOREGROUND))
    targets = targets._replace(label=np.maximum(targets.label, 1))
    targets = targets._replace(totals=np.tile(count_centers(targets.center_type), (VIDEOS, 1)))
    gradient = gradient_of_total(scores, targets)
    assert np.all(np.asarray(gradient.completeness)[:, 0] <= 0)
    assert np.all(np.asarray(gradient.completeness)[:, 1:-1] >= 0) and np.any(gradient.completeness[:, 1:-1])
    assert np.all(np.any(gradient.activity, axis=-1))


def test_regression_loss_is_quadratic_within_one_and_linear_beyond():
    regression = np.zeros((3, 2, 2), np.float32)
    regression[:, 1] = [[0.5, -0.5], [3, 1], [100, 100]]
    label, target = np.array([2, 2, 0]), np.zeros((3, 2), np.float32)
    found = regression_loss(regression, label, target, np.array([True, True, False]), 2)
    assert found == pytest.approx((0.125 + 0.125 + 2.5 + 0.5) / 2)
    assert regression_loss(regression, label, target, np.array([True, False, False]), 1) == pytest.approx(0.25)
