"""`synthetic`: generated videos of THUMOS14's size, for benchmarks and tests of scale; config.data.synthetic sets the
sizes."""

from dataclasses import asdict

from contextloc_jax.core.ranges import at_least
from input_pipeline.datasets.builder import Contents, VideoDatasetBuilder, VideoDatasetConfig, inputs_key
from input_pipeline.datasets.synthetic_videos import Sizes, make_video, video_ids

SETTINGS = {"composition_seed": at_least(0)} | dict(Sizes.RANGES)
_GENERATION = 1  # raise it when the code makes other data from the same settings


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


def make_builder(data_dir: str, composition_seed: int, **settings) -> Synthetic:
    """The builder of these `Sizes`. InputError: a setting is outside its range."""
    sizes = Sizes(**settings)
    config = VideoDatasetConfig(
        name=inputs_key({"generation": _GENERATION, "seed": composition_seed, "sizes": asdict(sizes)}),
        feature_width=sizes.feature_width,
        feature_dtype=sizes.feature_dtype,
        class_names=tuple(str(number) for number in range(1, sizes.num_classes + 1)),
    )
    builder = Synthetic(data_dir=data_dir, config=config, file_format="array_record")
    builder.sizes, builder.seed = sizes, composition_seed
    return builder
