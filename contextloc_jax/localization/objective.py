"""What ContextLoc brings to a training step: its inputs, made one batch ahead, and its loss."""

from collections.abc import Callable
from typing import NamedTuple

import jax

from contextloc_jax.core.structs import Batch, Targets
from contextloc_jax.localization.contextloc import ContextLoc, Graph, graph_of
from contextloc_jax.localization.losses import Losses, LossWeights, losses
from contextloc_jax.localization.retrieval import Retrieved


class TrainingInputs(NamedTuple):
    """A batch whose features were retrieved from: what the parameters meet. Fields as in Batch."""

    retrieved: Retrieved
    graph: Graph
    targets: Targets
    example_key: jax.Array


def training_inputs(model: ContextLoc) -> Callable[[Batch], TrainingInputs]:
    """What training makes of a batch ahead of its step: everything that needs no parameters."""
    return lambda batch: TrainingInputs(model.retrieve(batch), graph_of(batch), batch.targets, batch.example_key)


def training_loss(model: ContextLoc, weights: LossWeights) -> Callable:
    """loss(params, batch_stats, inputs, dropout_keys [V] or None, num_videos) -> (Losses, batch_stats afterwards).

    The Losses are the inputs' share of those of `num_videos` videos; None: the inputs are the whole.
    """

    def loss(
        params, batch_stats, inputs: TrainingInputs, dropout_keys: jax.Array | None, num_videos: int | None
    ) -> tuple[Losses, dict]:
        variables = {"params": params, "batch_stats": batch_stats}
        scores, updated = model.apply(
            variables, inputs.retrieved, inputs.graph, True, dropout_keys, mutable=["batch_stats"], method="score"
        )
        return losses(scores, inputs.targets, weights, num_videos), updated.get("batch_stats", {})

    return loss
