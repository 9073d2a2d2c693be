"""Gradients checked against slopes of a slow float64 function."""

import jax
import numpy as np

STEP = 1e-6


def assert_gradients(function, arguments, gradients) -> None:
    """Every leaf of `gradients` is the gradient of `function(arguments)` -> float, along one random direction a leaf.

    `arguments` and `gradients` are equal trees of arrays; central differences in float64.
    """
    paths, structure = jax.tree_util.tree_flatten_with_path(arguments)
    leaves = [np.asarray(leaf, np.float64) for _, leaf in paths]
    found = structure.flatten_up_to(gradients)
    for i, (path, _) in enumerate(paths):
        direction = np.random.default_rng(i).standard_normal(leaves[i].shape)

        def moved(step, i=i, direction=direction):
            return structure.unflatten([*leaves[:i], leaves[i] + step * direction, *leaves[i + 1 :]])

        slope = (function(moved(STEP)) - function(moved(-STEP))) / (2 * STEP)
        product = np.sum(np.asarray(found[i]) * direction)
        assert abs(product - slope) <= 1e-6 * abs(slope) + 1e-7, (jax.tree_util.keystr(path), product, slope)
