"""`synthetic`: made videos of THUMOS14's size, for benchmarks and scale tests; smaller by config.data.synthetic."""

from dataclasses import asdict, dataclass, fields

import tensorflow_datasets as tfds

from contextloc_jax.core.errors import InputError
from input_pipeline.datasets.builder import Contents, VideoDatasetBuilder, inputs_key
from input_pipeline.datasets.synthetic_videos import Sizes, make_video, video_ids

_GENERATION = 1  # raise it when the code makes other data from the same settings


@dataclass
class SyntheticConfig(tfds.core.BuilderConfig):
    """The settings that TFDS and `video_source` ask for."""

    feature_width: int = 0
    feature_dtype: str = "float16"
    class_names: tuple[str, ...] = ()


class Synthetic(VideoDatasetBuilder):
    """TFDS builder; make it with `make_builder`."""

    dataset_description = "Made videos: noise, in which every class has a direction of its own."
    sizes: Sizes
    seed: int

    def make_contents(self) -> Contents:
        def videos(names):
            return (make_video(name, self.sizes, self.seed) for name in names)

        counts = {"train": self.sizes.train_videos, "test": self.sizes.test_videos}
        names = {split: video_ids(split, count) for split, count in counts.items()}
        return Contents({split: (counts[split], lambda split=split: videos(names[split])) for split in counts})


def make_builder(data_dir: str, seed: int = 0, **settings) -> Synthetic:
    """The builder of these `Sizes`. InputError: a size below what a video needs."""
    sizes = Sizes(**settings)
    for field in fields(sizes):
        least = 20 if field.name == "shortest_snippets" else 1
        if field.type is int and getattr(sizes, field.name) < least:
            raise InputError(f"synthetic {field.name} is {getattr(sizes, field.name)}: expected at least {least}")
    if sizes.longest_snippets < sizes.shortest_snippets:
        raise InputError(
            f"synthetic longest_snippets is {sizes.longest_snippets}: expected at least shortest_snippets, "
            f"{sizes.shortest_snippets}"
        )
    config = SyntheticConfig(
        name=inputs_key({"generation": _GENERATION, "seed": seed, "sizes": asdict(sizes)}),
        feature_width=sizes.feature_width,
        feature_dtype=sizes.feature_dtype,
        class_names=tuple(str(number) for number in range(1, sizes.num_classes + 1)),
    )
    builder = Synthetic(data_dir=data_dir, config=config, file_format="array_record")
    builder.sizes, builder.seed = sizes, seed
    return builder
