"""The published settings (configs/default.py) in the forms that functions take: functions have no defaults of them."""

from configs import default
from contextloc_jax.commands.settings import read_settings
from contextloc_jax.localization.alignment import align_by_stride
from contextloc_jax.localization.contextloc import ContextLoc
from contextloc_jax.workdir.config_file import flatten
from input_pipeline.batches.targets import LabelRules

_FLAT = flatten(default.get_config())
_SETTINGS = read_settings(_FLAT)
WEIGHTS = _SETTINGS.loss_weights
RULES, CENTERS = LabelRules(**_SETTINGS.inputs.labels), _SETTINGS.inputs.centers
FPS = _FLAT["data.fps"]
STRIDE, LENGTH = _FLAT["data.snippet_stride"], _FLAT["data.snippet_length"]  # frames, of a snippet
ALIGN = align_by_stride(STRIDE, LENGTH)
CACHE_BYTES = int(_FLAT["data.cache_gigabytes"] * 2**30)


def published_model(num_classes: int, **changes) -> ContextLoc:
    """The published model for K classes, with changed fields."""
    return _SETTINGS.model.clone(num_classes=num_classes, **changes)


def data_settings(**changes) -> dict[str, object]:
    """The values of config.data by their keys, as `datasets.prepare` takes them, with changes."""
    return dict(_SETTINGS.inputs.data) | changes
