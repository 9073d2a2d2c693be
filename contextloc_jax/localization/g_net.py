"""G-Net: global context, adapted to each segment (paper section 3.3)."""

import jax
import jax.numpy as jnp

from contextloc_jax.localization.layers import ContextProjection
from contextloc_jax.localization.retrieval import Retrieved


class GNet(ContextProjection):
    """u = relu(g W_q + c W_c + b): the representation g of the video, adapted to each segment by its context c.

    Fields: width: H, of the output. reads_context: if False, relu(g W_q + b) (the ablation without adaptation).
    dtype: the type that products read. Parameters: query [D, H], context [D, H], bias [H].
    """

    def __call__(self, retrieved: Retrieved) -> jax.Array:
        """What N segments of each of V videos retrieved -> [V, N, H]."""
        found = self.project(retrieved.video[:, None], retrieved.adapted)
        return jnp.broadcast_to(found, (*retrieved.query.shape[:-1], self.width))
