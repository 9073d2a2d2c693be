"""The datasets, each in its own module: `shoulder`, `custom`, ...; `prepare` builds one by its name.

The module of a dataset has two names:

SETTINGS                               {key of config.data that it takes: its core.ranges.Range}, such as
                                       "num_classes" and "synthetic.train_videos"; None: any value
make_builder(data_dir, **settings)     the builder (builder.VideoDatasetBuilder) with these settings. The name of a
                                       setting is the last part of its key. InputError: a setting cannot be used

To add a dataset, write such a module and add its name to `registry.NAMES` (docs/extending.md).
"""

from input_pipeline.datasets.registry import prepare

__all__ = ["prepare"]
