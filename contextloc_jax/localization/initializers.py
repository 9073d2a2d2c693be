"""Initial values of the authors' code."""

import flax.linen as nn
import jax


def uniform_by_width(width: int):
    """Uniform in +-1/sqrt(output width): for weights and biases of L-Net, G-Net and the graph layers."""

    def init(key, shape, dtype="float32"):
        bound = width**-0.5
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return init


head_kernel = nn.initializers.normal(0.001)
