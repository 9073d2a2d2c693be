"""ContextLoc = L-Net + G-Net + P-Net + heads (paper section 3; formulas: docs/paper_to_code.md)."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from contextloc_jax.core.structs import Batch, Scores
from contextloc_jax.localization.context_nets import ContextProjection, Retrieved, retrieve_all
from contextloc_jax.localization.initializers import head_kernel
from contextloc_jax.localization.layers import Linear, dropout
from contextloc_jax.localization.normalization import BatchNorm, Moments, moments
from contextloc_jax.localization.proposal_nets import PGCN, NonLocal, no_relations

PROPOSAL_NETS = ("pgcn", "nonlocal", "none")
ACTION = 1  # position of the action segment among (start, action, end)


class ContextLoc(nn.Module):
    """The model; every ablation is one field. With neither L-Net nor G-Net a segment's feature is y itself (P-GCN).

    Fields:
      num_classes: K, without background.
      context_width, graph_width: outputs of L/G-Net, hidden width of the P-Net.
      local_context: L-Net reads context; off, y alone is projected.
      global_context: G-Net is there at all.
      adaptation: G-Net adapts g to each proposal; off, g itself is projected.
      boundary_segments: the start and end segments are part of the completeness feature.
      batch_norm: BatchNorm before the P-Net.
      proposal_net: 'pgcn', 'nonlocal' or 'none'.
      gcn_dropout, head_dropout: dropout after the first graph layer and before the activity head.
      dtype: what matrix products read ('float32' or 'bfloat16'); sums and statistics are float32.
      norm_axis: mesh axis over which BatchNorm statistics are taken; None: per replica.
    """

    num_classes: int
    context_width: int = 512
    graph_width: int = 512
    local_context: bool = True
    global_context: bool = True
    adaptation: bool = True
    boundary_segments: bool = True
    batch_norm: bool = True
    proposal_net: str = "pgcn"
    gcn_dropout: float = 0.0
    head_dropout: float = 0.8
    dtype: str = "float32"
    norm_axis: str | None = None

    def setup(self):
        def head(width):
            return Linear(width, head_kernel, nn.initializers.zeros, self.dtype)

        if self.local_context or self.global_context:
            self.l_net = ContextProjection(self.context_width, self.dtype)
        if self.global_context:
            self.g_net = ContextProjection(self.context_width, self.dtype)
        if self.batch_norm:
            self.activity_norm, self.completeness_norm = BatchNorm(), BatchNorm()
        match self.proposal_net:
            case "pgcn":
                self.activity_graph = PGCN(self.graph_width, self.gcn_dropout, self.dtype)
                self.completeness_graph = PGCN(self.graph_width, self.gcn_dropout, self.dtype)
            case "nonlocal":
                self.activity_graph = NonLocal(self.graph_width, self.dtype)
                self.completeness_graph = NonLocal(self.graph_width, self.dtype)
            case "none":
                self.activity_graph = self.completeness_graph = no_relations
            case _:
                raise ValueError(f"proposal_net {self.proposal_net!r} is not one of {PROPOSAL_NETS}")
        self.activity_head = head(self.num_classes + 1)
        self.completeness_head = head(self.num_classes)
        self.regression_head = head(2 * self.num_classes)

    def __call__(self, batch: Batch, train: bool = False, dropout_keys: jax.Array | None = None) -> Scores:
        """Scores of every center of a padded batch; dropout_keys [V] in training, None for no dropout."""
        # Accelerators would otherwise shorten float32 products to 10 (TF32) or 8 (TPU) bits.
        with jax.default_matmul_precision("highest"):
            return self.score(batch, train, dropout_keys)

    def score(self, batch: Batch, train: bool, dropout_keys: jax.Array | None) -> Scores:
        segment_features = self.segment_features(batch)
        activity, completeness = self.branch_features(segment_features, batch.node_count, train)
        keys = [None] * 3
        if dropout_keys is not None:
            keys = jax.vmap(lambda key: jax.random.split(key, 3), out_axes=1)(dropout_keys)

        graph = (batch.first_hop, batch.second_hop, batch.node_count > 0)
        activity = self.activity_graph(activity, *graph, keys[0])
        completeness = self.completeness_graph(completeness, *graph, keys[1])
        regression = self.regression_head(completeness)
        return Scores(
            activity=self.activity_head(dropout(activity, self.head_dropout, keys[2])),
            completeness=self.completeness_head(completeness),
            regression=regression.reshape(*regression.shape[:-1], self.num_classes, 2),
        )

    def segment_features(self, batch: Batch) -> jax.Array:
        """z of the start, action and end segment of every node: [V, M, 3, F], or [V, M, 1, F] without boundaries."""
        videos, nodes = batch.node_count.shape
        found = self.retrieve(batch).features
        parts = []
        if self.local_context or self.global_context:
            parts.append(self.l_net(found.query, found.local if self.local_context else None))
        if self.global_context:
            video = self.g_net(found.video[:, None], found.adapted if self.adaptation else None)
            parts.append(jnp.broadcast_to(video, parts[0].shape))
        feature = jnp.concatenate(parts, axis=-1) if parts else found.query
        return feature.reshape(videos, nodes, -1, feature.shape[-1])

    @nn.nowrap
    def retrieve(self, batch: Batch) -> Batch:
        """The batch with what L-Net and G-Net retrieve of its features in their place; it needs no parameters, so
        that it can be done ahead of a step. A batch of which this is done already is returned as it is."""
        if isinstance(batch.features, Retrieved):
            return batch
        segments = batch.segments if self.boundary_segments else batch.segments[:, :, ACTION : ACTION + 1]
        segments = segments.reshape(len(segments), -1, 2)
        features = jax.lax.stop_gradient(batch.features)
        with jax.default_matmul_precision("highest"):
            return batch._replace(features=retrieve_all(features, batch.num_snippets, segments, self.dtype))

    def branch_features(self, segment_features: jax.Array, node_count: jax.Array, train: bool):
        """The activity feature A [V, M, F] and the completeness feature C [V, M, S F], normalized."""
        position = ACTION if self.boundary_segments else 0
        activity = segment_features[:, :, position]
        completeness = segment_features.reshape(*segment_features.shape[:2], -1)
        if not self.batch_norm:
            return activity, completeness
        # A is one of the segments of C, so one set of moments serves both.
        batch = moments(segment_features, node_count, self.norm_axis) if train else None
        batch_a = batch and Moments(batch.count, batch.mean[position], batch.variance[position])
        batch_c = batch and Moments(batch.count, batch.mean.reshape(-1), batch.variance.reshape(-1))
        return (
            self.activity_norm(activity, batch_a),
            self.completeness_norm(completeness, batch_c),
        )
