"""L-Net: local context (paper section 3.2)."""

import jax

from contextloc_jax.localization.layers import ContextProjection
from contextloc_jax.localization.retrieval import Retrieved


class LNet(ContextProjection):
    """l = relu(y W_q + c W_c + b): a segment's query y, and the context c that y retrieves from its own snippets.

    Fields: width H of the output; reads_context: off, the ablation relu(y W_q + b); dtype: what products read.
    Parameters: query [D, H], context [D, H], bias [H].
    """

    def __call__(self, retrieved: Retrieved) -> jax.Array:
        """What V videos retrieved for N segments each -> [V, N, H]."""
        return self.project(retrieved.query, retrieved.local)
