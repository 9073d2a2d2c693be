"""The three losses (paper section 3.5; golden rules: losses.npz, train.npz).

The batch of a step is split into parts: over devices, over processes, and by gradient accumulation. Every function
returns the share of one part: its sum, divided by the count of the whole batch. The shares add up to the loss.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from contextloc_jax.core.structs import BACKGROUND, FOREGROUND, Scores, Targets

HARDEST_SHARE = 0.17  # share of the incomplete centers that count


class Losses(NamedTuple):
    activity: jax.Array
    completeness: jax.Array
    regression: jax.Array
    total: jax.Array


class LossWeights(NamedTuple):
    """Weights of the completeness and the regression loss, and numbers of slots of a video.

    The first num_foreground slots are foreground, the last num_background are background.
    """

    num_foreground: int
    num_background: int
    completeness: float
    regression: float


def activity_loss(logits: jax.Array, label: jax.Array, mask: jax.Array, count: jax.Array) -> jax.Array:
    """Cross-entropy, summed over the rows where `mask` is True and divided by `count`.

    logits [..., K + 1]; label [...] class index (0: background); mask [...] bool; count [].
    """
    log_probability = jax.nn.log_softmax(logits)
    picked = jnp.take_along_axis(log_probability, label[..., None], axis=-1)[..., 0]
    return -jnp.sum(jnp.where(mask, picked, 0)) / count


def completeness_loss(
    scores: jax.Array, label: jax.Array, num_positive: int, num_groups: int | None = None
) -> jax.Array:
    """Class-wise hinge loss with online hard example mining.

    scores [G, S, K] of S rows in each of G groups (videos); label [G, S] class index in 1..K. The first `num_positive`
    rows of a group should score above 1, the other rows below -1. Of the other rows, only the hardest 17 % of each
    group count, at least one. As in the authors' code, the divisor is the number of positives plus int(0.17 x all other
    rows of the whole batch), which is not always the number of rows that count. num_groups: number of groups in the
    whole batch; None: G.
    """
    groups, size, _ = scores.shape
    picked = jnp.take_along_axis(scores, label[..., None] - 1, axis=-1)[..., 0]
    positive = jax.nn.relu(1 - picked[:, :num_positive])
    negative = jax.nn.relu(1 + picked[:, num_positive:])
    num_negative = size - num_positive
    hardest, _ = jax.lax.top_k(negative, max(int(num_negative * HARDEST_SHARE), 1))
    groups = num_groups or groups
    count = groups * num_positive + max(int(groups * num_negative * HARDEST_SHARE), 1)
    return (jnp.sum(positive) + jnp.sum(hardest)) / count


def regression_loss(
    regression: jax.Array, label: jax.Array, target: jax.Array, mask: jax.Array, count: jax.Array
) -> jax.Array:
    """Smooth L1 (beta 1) of both targets, summed over the rows where `mask` is True and divided by `count`.

    regression [..., K, 2]; label [...] class index in 1..K where `mask` is True; target [..., 2]; mask [...] bool;
    count [].
    """
    index = jnp.maximum(label - 1, 0)[..., None, None]
    picked = jnp.take_along_axis(regression, index, axis=-2)[..., 0, :]
    error = jnp.abs(picked - target)
    smooth = jnp.where(error < 1, 0.5 * jnp.square(error), error - 0.5)
    return jnp.sum(jnp.where(mask[..., None], smooth, 0)) / count


def losses(scores: Scores, targets: Targets, weights: LossWeights, num_videos: int | None = None) -> Losses:
    """The three losses of a batch and their weighted sum (L = activity + a completeness + b regression).

    num_videos: number of videos in the whole batch of the step, if `scores` are of a part of it.

    Activity: foreground and background centers. Completeness: all slots except those of background.
    Regression: foreground centers. Golden rule: a slot whose pool is empty holds a foreground sample.
    """
    kind, label = targets.center_type, targets.label
    judged_centers, regressed_centers = targets.totals[0]
    activity = activity_loss(scores.activity, label, (kind == FOREGROUND) | (kind == BACKGROUND), judged_centers)
    judged = slice(None, kind.shape[1] - weights.num_background)
    completeness = completeness_loss(
        scores.completeness[:, judged], label[:, judged], weights.num_foreground, num_videos
    )
    regression = regression_loss(scores.regression, label, targets.regression, kind == FOREGROUND, regressed_centers)
    total = activity + weights.completeness * completeness + weights.regression * regression
    return Losses(activity, completeness, regression, total)
