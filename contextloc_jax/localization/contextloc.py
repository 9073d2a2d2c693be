"""ContextLoc = L-Net + G-Net + P-Net + heads (paper section 3; formulas: docs/paper_to_code.md)."""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from contextloc_jax.core.structs import Batch, Scores
from contextloc_jax.localization.g_net import GNet
from contextloc_jax.localization.initializers import head_kernel
from contextloc_jax.localization.l_net import LNet
from contextloc_jax.localization.layers import Linear, dropout
from contextloc_jax.localization.normalization import BatchNorm, Moments, moments
from contextloc_jax.localization.proposal_nets import PROPOSAL_NETS
from contextloc_jax.localization.retrieval import Retrieved
from contextloc_jax.localization.retrieval_forms import retrieve_videos

ACTION = 1  # position of the action segment among (start, action, end)


class Graph(NamedTuple):
    """What the model reads from a batch beside the features. The fields are those of Batch."""

    node_count: jax.Array
    first_hop: jax.Array
    second_hop: jax.Array


def graph_of(batch: Batch) -> Graph:
    """The graph of a batch."""
    return Graph(batch.node_count, batch.first_hop, batch.second_hop)


class ContextLoc(nn.Module):
    """The model. Every ablation is one field. Without L-Net and G-Net, the feature of a segment is its query y (P-GCN).

    Fields (values and units: config.model in configs/default.py):
      num_classes: K, without background.
      context_width: width of the outputs of L-Net and G-Net.
      graph_width: hidden width of the P-Net.
      local_context: L-Net reads context. If False, it projects only y.
      global_context: the model has a G-Net.
      adaptation: G-Net adapts g to each proposal. If False, it projects g itself.
      boundary_segments: the start and end segments are part of the completeness feature.
      batch_norm: BatchNorm before the P-Net.
      proposal_net: a name in PROPOSAL_NETS.
      gcn_dropout: dropout rate after the first graph layer.
      head_dropout: dropout rate before the activity head.
      dtype: the type that matrix products read ('float32' or 'bfloat16'); sums and statistics are float32.
      retrieval: the form of retrieval (retrieval_forms.py). All forms compute the same.
      norm_axis: the mesh axis over which BatchNorm takes its statistics; None: every device takes its own.
    """

    num_classes: int
    context_width: int
    graph_width: int
    local_context: bool
    global_context: bool
    adaptation: bool
    boundary_segments: bool
    batch_norm: bool
    proposal_net: str
    gcn_dropout: float
    head_dropout: float
    dtype: str
    retrieval: str
    norm_axis: str | None = None

    def setup(self):
        def head(width):
            return Linear(width, head_kernel, nn.initializers.zeros, self.dtype)

        def proposal_net():
            return PROPOSAL_NETS[self.proposal_net](self.graph_width, self.gcn_dropout, self.dtype)

        if self.local_context or self.global_context:
            self.l_net = LNet(self.context_width, self.local_context, self.dtype)
        if self.global_context:
            self.g_net = GNet(self.context_width, self.adaptation, self.dtype)
        if self.batch_norm:
            self.activity_norm, self.completeness_norm = BatchNorm(), BatchNorm()
        self.activity_graph, self.completeness_graph = proposal_net(), proposal_net()
        self.activity_head = head(self.num_classes + 1)
        self.completeness_head = head(self.num_classes)
        self.regression_head = head(2 * self.num_classes)

    def __call__(self, batch: Batch, train: bool = False, dropout_keys: jax.Array | None = None) -> Scores:
        """Scores of every center of a padded batch. dropout_keys: [V] in training; None: no dropout."""
        return self.score(self.retrieve(batch), graph_of(batch), train, dropout_keys)

    @nn.nowrap
    def retrieve(self, batch: Batch) -> Retrieved:
        """What the segments of a batch retrieve from its features.

        This needs no parameters, so training can do it for the next batch while a step runs.
        """
        segments = batch.segments if self.boundary_segments else batch.segments[:, :, ACTION : ACTION + 1]
        videos = jax.lax.stop_gradient(batch.features), batch.num_snippets, segments.reshape(len(segments), -1, 2)
        with jax.default_matmul_precision("highest"):
            return retrieve_videos(videos, self.dtype, self.retrieval)

    def score(self, retrieved: Retrieved, graph: Graph, train: bool, dropout_keys: jax.Array | None) -> Scores:
        """Scores of every center, from what the segments retrieved. dropout_keys: as for a call."""
        # By default, accelerators shorten the inputs of float32 products to 10 (TF32) or 8 (TPU) bits.
        with jax.default_matmul_precision("highest"):
            segment_features = self.segment_features(retrieved, graph)
            activity, completeness = self.branch_features(segment_features, graph.node_count, train)
            keys = [None] * 3
            if dropout_keys is not None:
                keys = jax.vmap(lambda key: jax.random.split(key, 3), out_axes=1)(dropout_keys)
            relations = graph.first_hop, graph.second_hop, graph.node_count > 0
            activity = self.activity_graph(activity, *relations, keys[0])
            completeness = self.completeness_graph(completeness, *relations, keys[1])
            regression = self.regression_head(completeness)
            return Scores(
                activity=self.activity_head(dropout(activity, self.head_dropout, keys[2])),
                completeness=self.completeness_head(completeness),
                regression=regression.reshape(*regression.shape[:-1], self.num_classes, 2),
            )

    def segment_features(self, retrieved: Retrieved, graph: Graph) -> jax.Array:
        """z of the start, action and end segment of every node: [V, M, 3, F], or [V, M, 1, F] without boundaries."""
        parts = []
        if self.local_context or self.global_context:
            parts.append(self.l_net(retrieved))
        if self.global_context:
            parts.append(self.g_net(retrieved))
        feature = jnp.concatenate(parts, axis=-1) if parts else retrieved.query
        return feature.reshape(*graph.node_count.shape, -1, feature.shape[-1])

    def branch_features(
        self, segment_features: jax.Array, node_count: jax.Array, train: bool
    ) -> tuple[jax.Array, jax.Array]:
        """The activity feature A [V, M, F] and the completeness feature C [V, M, S F] (of S segments), normalized."""
        position = ACTION if self.boundary_segments else 0
        activity = segment_features[:, :, position]
        completeness = segment_features.reshape(*segment_features.shape[:2], -1)
        if not self.batch_norm:
            return activity, completeness
        # A is one of the segments of C, so one set of moments serves both.
        of_a = of_c = None
        if train:
            count, mean, variance = moments(segment_features, node_count, self.norm_axis)
            of_a = Moments(count, mean[position], variance[position])
            of_c = Moments(count, mean.reshape(-1), variance.reshape(-1))
        return self.activity_norm(activity, of_a), self.completeness_norm(completeness, of_c)


def smallest_batch(feature_width: int) -> Batch:
    """A batch of one video with one snippet and one proposal: enough to find the shapes of a model's variables."""
    return Batch(
        features=np.zeros((1, 1, feature_width), np.float32),
        num_snippets=np.ones(1, np.int32),
        segments=np.zeros((1, 1, 3, 2), np.int32),
        node_count=np.ones((1, 1), np.float32),
        first_hop=np.zeros((1, 1, 5), np.int32),
        second_hop=np.zeros((1, 1, 5), np.int32),
        center_mask=np.ones((1, 1), bool),
        example_key=np.zeros(1, np.uint32),
        targets=None,
    )


def feature_width_of(params: dict) -> int:
    """Width D of the snippet features that a model with these parameters reads."""
    for net in ("l_net", "g_net"):
        if net in params:
            return params[net]["query"].shape[0]
    return params["activity_head"]["kernel"].shape[0] // 2  # P-GCN: a head reads the P-Net's output and its input


def variable_shapes(model: ContextLoc, feature_width: int) -> dict:
    """Shapes of the model's params and batch_stats for snippet features of this width. No values are computed."""
    return jax.eval_shape(lambda: model.init(jax.random.key(0), smallest_batch(feature_width)))
