"""`thumos14`: 200 validation videos for training and 213 test videos, 20 classes, from the user's files.

Presets of the test videos (config.data.test_videos), because published numbers use different ones:
213  all. video_test_0001292 has only ambiguous instances, which are of none of the 20 classes
     (github.com/happyharrycn/actionformer_release/issues/107).
211  without video_test_0000270 and video_test_0001496, whose annotations are wrong (SSN, arXiv:1704.06228;
     github.com/yjxiong/action-detection/issues/22). Others with 211 leave out 0000270 and 0001292 (G-TAD, OpenTAD).
210  without all three, as in P-GCN and ContextLoc, whose lists come from SSN's
     (github.com/HYPJUDY/Decouple-SSAD/issues/23 names them).
"""

from contextloc_jax.core.errors import InputError
from contextloc_jax.core.ranges import one_of
from input_pipeline.datasets.from_files import FILE_SETTINGS, Files, ProposalVideos, open_builder

CLASS_NAMES = (
    "BaseballPitch", "BasketballDunk", "Billiards", "CleanAndJerk", "CliffDiving", "CricketBowling", "CricketShot",
    "Diving", "FrisbeeCatch", "GolfSwing", "HammerThrow", "HighJump", "JavelinThrow", "LongJump", "PoleVault",
    "Shotput", "SoccerPenalty", "TennisSwing", "ThrowDiscus", "VolleyballSpiking",
)  # fmt: skip
_FALSELY_ANNOTATED = frozenset({"video_test_0000270", "video_test_0001496"})
EXCLUDED = {  # number of test videos -> those left out
    213: frozenset(),
    211: _FALSELY_ANNOTATED,
    210: _FALSELY_ANNOTATED | {"video_test_0001292"},
}
SETTINGS = FILE_SETTINGS | {"test_videos": one_of(*EXCLUDED)}

CITATION = """@misc{thumos14, title={{THUMOS} challenge: Action recognition with a large number of classes},
  author={Jiang, Y.-G. and Liu, J. and Roshan Zamir, A. and Toderici, G. and Laptev, I. and Shah, M. and
          Sukthankar, R.},
  year={2014}, howpublished={http://crcv.ucf.edu/THUMOS14/}}"""


class Thumos14(ProposalVideos):
    """TFDS builder; make it with `make_builder`."""

    dataset_description = "THUMOS14: sports videos with 20 classes of temporally annotated actions."
    dataset_citation = CITATION
    dataset_homepage = "http://crcv.ucf.edu/THUMOS14/"


def make_builder(data_dir: str, test_videos: int, **settings) -> Thumos14:
    """The builder of these files (`Files`) and one of the presets. InputError: as for `open_builder`."""
    files = Files(**settings)
    if files.num_classes != len(CLASS_NAMES):
        raise InputError(f"config.data.num_classes is {files.num_classes}; THUMOS14 has {len(CLASS_NAMES)} classes")
    return open_builder(Thumos14, data_dir, files, CLASS_NAMES, EXCLUDED[test_videos])
