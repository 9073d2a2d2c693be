"""P-Net: relations between the proposals of a video (paper section 3.4).

Every P-Net is called with (x [V, M, F], first_hop [V, R, 5], second_hop [V, C, 5], node_mask [V, M], dropout_keys [V]
or None) and maps node features x to center features [V, C, 2F]: its own output, then the input feature of the center.
To add a P-Net, write a class like those below and a line in PROPOSAL_NETS (docs/extending.md).
"""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from contextloc_jax.localization.initializers import uniform_by_width
from contextloc_jax.localization.layers import (
    Linear,
    cosine,
    dropout,
    take_rows,
    take_rows_twice,
)


class PGCN(nn.Module):
    """Two graph convolutions over the neighbor tree of every center (Zeng et al., ICCV 2019).

    In the authors' 21 x 21 adjacency matrix, only rows 0..4 are not zero, and only row 0 of the output is used. So the
    first layer runs on 5 rows per tree (trees may share equal rows), and the second layer on one row. Neighbors are
    summed first and projected then.
    """

    width: int
    dropout_rate: float
    dtype: str

    @nn.compact
    def __call__(self, x, first_hop, second_hop, node_mask, dropout_keys):
        """x [V, M, F], first_hop [V, R, 5], second_hop [V, C, 5] -> [V, C, 2F]. node_mask is not needed."""
        del node_mask
        neighbors, center = take_rows_twice(x, first_hop, center_rows(first_hop, second_hop))  # [V, R, 5, F], [V, C, F]
        weights = edge_weights(neighbors)

        def linear(width, name):
            init = uniform_by_width(width)
            return Linear(width, init, init, self.dtype, name=name)

        hidden = nn.relu(linear(self.width, "first")(jnp.einsum("vrk,vrkf->vrf", weights, neighbors)))
        hidden = dropout(hidden, self.dropout_rate, dropout_keys)
        center_weights = take_rows(weights, second_hop[..., 0])  # edges of the center, the same as in the first layer
        summed = jnp.einsum("vck,vckh->vch", center_weights, take_rows(hidden, second_hop))
        output = linear(x.shape[-1], "second")(summed)
        return jnp.concatenate([output, center], axis=-1)


def edge_weights(neighbors: jax.Array) -> jax.Array:
    """Adjacency of a node (first) and its 4 children: features [..., 5, F] -> [..., 5].

    relu(cosine with the node), times 1 for the node itself and 1/4 for every child. Rows are not normalized.
    """
    # Matrix products, because XLA's loops for a sum of products over gathered rows take five times as long on a CPU.
    products = jnp.einsum("...f,...kf->...k", neighbors[..., 0, :], neighbors)
    squares = jnp.einsum("...kf,...kf->...k", neighbors, neighbors)
    return nn.relu(cosine(products, squares[..., :1] * squares)) * jnp.array([1, 0.25, 0.25, 0.25, 0.25])


class NonLocal(nn.Module):
    """Embedded-Gaussian attention among all proposals of the video, with a residual (Wang et al., CVPR 2018)."""

    width: int
    dtype: str

    @nn.compact
    def __call__(self, x, first_hop, second_hop, node_mask, dropout_keys):
        """x [V, M, F], node_mask [V, M] (False: padding) -> [V, C, 2F]."""
        del dropout_keys
        center = center_features(x, first_hop, second_hop)

        def linear(width, name, init=None):
            init = init or uniform_by_width(width)
            return Linear(width, init, init, self.dtype, name=name)

        query, key = linear(self.width, "query")(center), linear(self.width, "key")(x)
        affinity = jnp.einsum("vch,vmh->vcm", query, key)
        least = jnp.finfo(affinity.dtype).min  # not -inf, which gives NaN for a video that is only padding
        attention = nn.softmax(jnp.where(node_mask[:, None], affinity, least), axis=-1)
        gathered = jnp.einsum("vcm,vmh->vch", attention, linear(self.width, "value")(x))
        # Weights of zero: training starts from the identity, as the cited paper recommends.
        output = center + linear(x.shape[-1], "output", nn.initializers.zeros)(gathered)
        return jnp.concatenate([output, center], axis=-1)


def no_relations(x, first_hop, second_hop, node_mask, dropout_keys):
    """The ablation without a P-Net: the center's feature twice, [V, C, 2F]."""
    del node_mask, dropout_keys
    center = center_features(x, first_hop, second_hop)
    return jnp.concatenate([center, center], axis=-1)


# Name in config.model.proposal_net -> function (graph_width, gcn_dropout, dtype) -> P-Net.
PROPOSAL_NETS: dict[str, Callable] = {
    "pgcn": PGCN,
    "nonlocal": lambda width, dropout_rate, dtype: NonLocal(width, dtype),
    "none": lambda width, dropout_rate, dtype: no_relations,
}


def center_features(x: jax.Array, first_hop: jax.Array, second_hop: jax.Array) -> jax.Array:
    """Input features of the centers: [V, M, F] -> [V, C, F]."""
    return take_rows(x, center_rows(first_hop, second_hop))


def center_rows(first_hop: jax.Array, second_hop: jax.Array) -> jax.Array:
    """Node indices of the centers [V, C]."""
    return jnp.take_along_axis(first_hop[..., 0], second_hop[..., 0], axis=1)
