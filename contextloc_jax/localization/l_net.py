"""L-Net: local context (paper section 3.2)."""

import jax

from contextloc_jax.localization.layers import ContextProjection
from contextloc_jax.localization.retrieval import Retrieved


class LNet(ContextProjection):
    """l = relu(y W_q + c W_c + b): the query y of a segment, and the context c that y retrieves from its snippets.

    Fields: width: H, of the output. reads_context: if False, relu(y W_q + b) (an ablation). dtype: the type that
    products read. Parameters: query [D, H], context [D, H], bias [H].
    """

    def __call__(self, retrieved: Retrieved) -> jax.Array:
        """What N segments of each of V videos retrieved -> [V, N, H]."""
        return self.project(retrieved.query, retrieved.local)
