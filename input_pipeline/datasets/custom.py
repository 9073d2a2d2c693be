"""`custom`: your own features, proposals and annotations; docs/own_data.md is the tutorial."""

from input_pipeline.datasets.from_files import FILE_SETTINGS, Files, ProposalVideos, open_builder

SETTINGS = FILE_SETTINGS


class Custom(ProposalVideos):
    """TFDS builder; make it with `make_builder`."""

    dataset_description = "Videos from files of the user's own: snippet features, proposals, annotations."


def make_builder(data_dir: str, **settings) -> Custom:
    """The builder of these files (`Files`). InputError: a path or a list cannot be used."""
    return open_builder(Custom, data_dir, Files(**settings))
