"""The published setting, from configs/default.py, for tests that vary a part of it."""

from configs import default
from contextloc_jax.commands.settings import read_settings
from contextloc_jax.localization.contextloc import ContextLoc
from contextloc_jax.workdir.config_file import flatten

_SETTINGS = read_settings(flatten(default.get_config()))
WEIGHTS = _SETTINGS.loss_weights


def published_model(num_classes: int, **changes) -> ContextLoc:
    """The published model for K classes, with changed fields."""
    return _SETTINGS.model.clone(num_classes=num_classes, **changes)
