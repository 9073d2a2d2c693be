"""The published settings (configs/default.py) in the forms that functions take: nothing else has defaults."""

from configs import default
from contextloc_jax.localization.alignment import align_by_stride
from contextloc_jax.workdir.config_file import flatten
from input_pipeline.batches.targets import LabelRules

_SAMPLING, _DATA = default.get_config().sampling, default.get_config().data
RULES = LabelRules(**{name: _SAMPLING[name] for name in LabelRules.RANGES})
CENTERS = (_SAMPLING.num_foreground, _SAMPLING.num_incomplete, _SAMPLING.num_background)
FPS = _DATA.fps
STRIDE, LENGTH = _DATA.snippet_stride, _DATA.snippet_length  # frames, of a snippet
ALIGN = align_by_stride(STRIDE, LENGTH)
CACHE_BYTES = int(_DATA.cache_gigabytes * 2**30)


def data_settings(**changes) -> dict[str, object]:
    """The values of config.data by their keys, as `datasets.prepare` takes them, with changes."""
    return flatten(_DATA) | changes
