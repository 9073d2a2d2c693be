"""The three losses (paper section 3.5; golden rules: losses.npz, train.npz).

Every function returns this device's share of the loss of the global batch: local sum over global count. Shares
add up to the loss over the devices of `axis_name`; with axis_name=None the share is the loss.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from contextloc_jax.batch import BACKGROUND, FOREGROUND, Scores, Targets

HARDEST_SHARE = 0.17  # of the incompletes


class Losses(NamedTuple):
    activity: jax.Array
    completeness: jax.Array
    regression: jax.Array
    total: jax.Array


class LossWeights(NamedTuple):
    """How the losses add up; of a video's slots the first are foreground and the last background."""

    num_foreground: int = 1
    num_background: int = 1
    completeness: float = 0.5
    regression: float = 0.5


def activity_loss(logits: jax.Array, label: jax.Array, mask: jax.Array, axis_name: str | None = None) -> jax.Array:
    """Mean cross-entropy over the rows of `mask`: logits [..., K + 1], label [...] (0 background), mask [...]."""
    log_probability = jax.nn.log_softmax(logits)
    picked = jnp.take_along_axis(log_probability, label[..., None], axis=-1)[..., 0]
    return -jnp.sum(jnp.where(mask, picked, 0)) / _global_count(mask, axis_name)


def completeness_loss(
    scores: jax.Array, label: jax.Array, num_positive: int, axis_name: str | None = None
) -> jax.Array:
    """Class-wise hinge with online hard example mining: scores [G, S, K], label [G, S] in 1..K.

    The first `num_positive` rows of a group want a score above 1, the others below -1; of the others the hardest
    17 % of the group (at least one) count. The authors divide by the positives plus int(0.17 x all others of the
    whole batch), which is not always the number kept.
    """
    groups, size, _ = scores.shape
    picked = jnp.take_along_axis(scores, label[..., None] - 1, axis=-1)[..., 0]
    positive = jax.nn.relu(1 - picked[:, :num_positive])
    negative = jax.nn.relu(1 + picked[:, num_positive:])
    num_negative = size - num_positive
    hardest, _ = jax.lax.top_k(negative, max(int(num_negative * HARDEST_SHARE), 1))
    if axis_name is not None:
        groups *= jax.lax.axis_size(axis_name)
    count = groups * num_positive + max(int(groups * num_negative * HARDEST_SHARE), 1)
    return (jnp.sum(positive) + jnp.sum(hardest)) / count


def regression_loss(
    regression: jax.Array, label: jax.Array, target: jax.Array, mask: jax.Array, axis_name: str | None = None
) -> jax.Array:
    """Twice the mean smooth L1 (beta 1) of both targets: regression [..., K, 2], label in 1..K, target [..., 2]."""
    index = jnp.maximum(label - 1, 0)[..., None, None]
    picked = jnp.take_along_axis(regression, index, axis=-2)[..., 0, :]
    error = jnp.abs(picked - target)
    smooth = jnp.where(error < 1, 0.5 * jnp.square(error), error - 0.5)
    return jnp.sum(jnp.where(mask[..., None], smooth, 0)) / _global_count(mask, axis_name)


def losses(scores: Scores, targets: Targets, weights: LossWeights, axis_name: str | None = None) -> Losses:
    """The three losses of a batch and their weighted sum (L = activity + a completeness + b regression).

    Activity: foreground and background centres. Completeness: all but the background slots.
    Regression: foreground centres. Golden rule: a slot whose pool is empty holds a foreground sample instead.
    """
    kind, label = targets.center_type, targets.label
    activity = activity_loss(scores.activity, label, (kind == FOREGROUND) | (kind == BACKGROUND), axis_name)
    judged = slice(None, kind.shape[1] - weights.num_background)
    completeness = completeness_loss(
        scores.completeness[:, judged], label[:, judged], weights.num_foreground, axis_name
    )
    regression = regression_loss(scores.regression, label, targets.regression, kind == FOREGROUND, axis_name)
    total = activity + weights.completeness * completeness + weights.regression * regression
    return Losses(activity, completeness, regression, total)


def _global_count(mask: jax.Array, axis_name: str | None) -> jax.Array:
    count = jnp.sum(mask)
    return count if axis_name is None else jax.lax.psum(count, axis_name)
