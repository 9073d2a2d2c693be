"""ContextLoc (temporal action localization, ICCV 2021) in JAX/Flax.

The public names are those of contextloc_jax/api.py. Each is imported when it is first used, so `import contextloc_jax`
imports neither jax nor TensorFlow.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from contextloc_jax.api import (
        PGCN,
        ContextLoc,
        Detections,
        GNet,
        GroundTruth,
        InputError,
        LNet,
        Localizer,
        NonLocal,
        average_recall,
        concatenate,
        evaluate,
        read_annotations,
        read_detections,
        read_features,
        write_detections,
    )

__version__ = "0.1.0"
__all__ = (
    "PGCN",
    "ContextLoc",
    "Detections",
    "GNet",
    "GroundTruth",
    "InputError",
    "LNet",
    "Localizer",
    "NonLocal",
    "average_recall",
    "concatenate",
    "evaluate",
    "read_annotations",
    "read_detections",
    "read_features",
    "write_detections",
)


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from contextloc_jax import api

    return getattr(api, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
