"""The datasets, a module each: `shoulder`, `custom`, ...; `prepare` builds one by its name.

The module of a dataset offers two names:

SETTINGS                               {key of config.data that it takes: its core.ranges.Range}, such as
                                       "num_classes" and "synthetic.train_videos"; None: any value
make_builder(data_dir, **settings)     the builder (builder.VideoDatasetBuilder) of these settings; each has the last
                                       part of its key as its name. InputError: a setting that cannot be used

A new dataset is such a module and its name in `registry.NAMES`.
"""

from input_pipeline.datasets.registry import prepare

__all__ = ["prepare"]
