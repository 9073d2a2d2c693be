"""`activitynet13`: ActivityNet v1.3, 10,024 training and 4,926 validation videos of 200 classes, from the user's files.

Features are rescaled to 100 bins per video (config.data.num_bins).
"""

from input_pipeline.datasets.from_files import FILE_SETTINGS, Files, ProposalVideos, open_builder

SETTINGS = FILE_SETTINGS

CITATION = """@inproceedings{caba2015activitynet,
  title={ActivityNet: A Large-Scale Video Benchmark for Human Activity Understanding},
  author={Caba Heilbron, Fabian and Escorcia, Victor and Ghanem, Bernard and Niebles, Juan Carlos},
  booktitle={CVPR}, pages={961--970}, year={2015}
}"""


class Activitynet13(ProposalVideos):
    """TFDS builder; make it with `make_builder`."""

    dataset_description = "ActivityNet v1.3: untrimmed videos of 200 activities."
    dataset_citation = CITATION
    dataset_homepage = "http://activity-net.org/"


def make_builder(data_dir: str, **settings) -> Activitynet13:
    """The builder of these files (`Files`). InputError: a path or a list cannot be used."""
    return open_builder(Activitynet13, data_dir, Files(**settings))
