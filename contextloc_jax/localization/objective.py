"""The parts of a training step that are ContextLoc's: its inputs, prepared one batch ahead, and its loss."""

from collections.abc import Callable
from typing import NamedTuple

import jax

from contextloc_jax.core.structs import Batch, Targets
from contextloc_jax.localization.contextloc import ContextLoc, Graph, graph_of
from contextloc_jax.localization.losses import Losses, LossWeights, losses
from contextloc_jax.localization.retrieval import Retrieved


class TrainingInputs(NamedTuple):
    """A batch after retrieval: all that the loss reads. targets and example_key are those of Batch."""

    retrieved: Retrieved
    graph: Graph
    targets: Targets
    example_key: jax.Array


def training_inputs(model: ContextLoc) -> Callable[[Batch], TrainingInputs]:
    """Batch -> TrainingInputs: the work that needs no parameters, so that it can be done ahead of the step."""
    return lambda batch: TrainingInputs(model.retrieve(batch), graph_of(batch), batch.targets, batch.example_key)


def training_loss(model: ContextLoc, weights: LossWeights) -> Callable:
    """loss(params, batch_stats, inputs, dropout_keys [V] or None, num_videos) -> (Losses, batch_stats afterwards).

    The Losses are the share of these inputs in the losses of `num_videos` videos; None: the inputs are all videos.
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
