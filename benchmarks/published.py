"""The published settings, the same as in configs/default.py. Benchmarks also run without ml_collections."""

from typing import Any

from contextloc_jax.localization.contextloc import ContextLoc
from contextloc_jax.localization.losses import LossWeights

MODEL = {
    "context_width": 512,
    "graph_width": 512,
    "local_context": True,
    "global_context": True,
    "adaptation": True,
    "boundary_segments": True,
    "batch_norm": True,
    "proposal_net": "pgcn",
    "gcn_dropout": 0.0,
    "head_dropout": 0.8,
    "retrieval": "auto",
    "dtype": "float32",
}
WEIGHTS = LossWeights(num_foreground=1, num_background=1, completeness=0.5, regression=0.5)


def published_model(num_classes: int, **changes: Any) -> ContextLoc:
    """The published model for K classes, with changes of its fields."""
    return ContextLoc(num_classes, **MODEL | changes)
