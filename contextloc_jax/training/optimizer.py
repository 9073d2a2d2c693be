"""SGD as the authors configure it: momentum, weight decay on weights only, biases at twice the rate."""

from collections.abc import Sequence

import jax
import optax


def learning_rate_schedule(
    learning_rate: float, decay_epochs: Sequence[int], decay_factor: float, steps_per_epoch: int
) -> optax.Schedule:
    """Step -> learning rate, multiplied by `decay_factor` at the start of each of `decay_epochs` (0-based)."""
    return optax.piecewise_constant_schedule(
        learning_rate, {epoch * steps_per_epoch: decay_factor for epoch in decay_epochs}
    )


def sgd(schedule: optax.Schedule, momentum: float, weight_decay: float) -> optax.GradientTransformation:
    """d = g + decay p; v = momentum v + d; p -= rate v (golden rule: train.npz).

    Biases (also BatchNorm's) have no decay and twice the rate; BatchNorm's scale counts as a weight.
    """

    def scale_biases(updates):
        return jax.tree_util.tree_map_with_path(lambda path, u: 2 * u if _is_bias(path) else u, updates)

    def is_weight(params):
        return jax.tree_util.tree_map_with_path(lambda path, _: not _is_bias(path), params)

    return optax.chain(
        optax.add_decayed_weights(weight_decay, mask=is_weight),
        optax.trace(momentum),
        optax.stateless(lambda updates, _: scale_biases(updates)),
        optax.scale_by_learning_rate(schedule),
    )


def _is_bias(path) -> bool:
    return path[-1].key == "bias"
