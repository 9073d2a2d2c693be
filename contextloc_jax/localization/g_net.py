"""G-Net: global context, adapted to each segment (paper section 3.3)."""

import jax
import jax.numpy as jnp

from contextloc_jax.localization.layers import ContextProjection
from contextloc_jax.localization.retrieval import Retrieved


class GNet(ContextProjection):
    """u = relu(g W_q + c W_c + b): the video's representation g, re-expressed through the context c of each segment.

    Fields: width H of the output; reads_context: off, the ablation without adaptation, relu(g W_q + b); dtype: what
    products read. Parameters: query [D, H], context [D, H], bias [H].
    """

    def __call__(self, retrieved: Retrieved) -> jax.Array:
        """What V videos retrieved for N segments each -> [V, N, H]."""
        found = self.project(retrieved.video[:, None], retrieved.adapted)
        return jnp.broadcast_to(found, (*retrieved.query.shape[:-1], self.width))
