"""`shoulder`: physiotherapy exercises in untrimmed sessions of a wrist sensor (the quickstart dataset).

Signals: 140 recordings of 10 people doing 7 shoulder exercises with either arm, 6 inertial channels at 50 Hz, from

    David M. Burns, Nathan Leung, Michael Hardisty, Cari M. Whyne, Patrick Henry, Stewart McLachlin:
    "Shoulder Physiotherapy Exercise Recognition: Machine Learning the Inertial Signals from a Smartwatch",
    Physiological Measurement 39 (2018), arXiv:1802.01489,

as shipped in the `seglearn` 1.2.5 package (BSD-3-Clause, Copyright (c) 2018, David Burns). All signal samples are real.
The sessions are spliced from them: see shoulder_sessions.py. People 1-7 train, 8-10 test.
"""

from dataclasses import asdict

from contextloc_jax.core.ranges import at_least
from contextloc_jax.proposals.sliding_windows import sliding_windows
from input_pipeline.datasets import shoulder_sessions
from input_pipeline.datasets.builder import Contents, VideoDatasetBuilder, VideoDatasetConfig, inputs_key
from input_pipeline.datasets.shoulder_sessions import FPS, Composition, Session, Standardizer
from input_pipeline.videos.labels import label_proposals
from input_pipeline.videos.records import FEATURE_DTYPE, VideoRecord

SETTINGS = {"composition_seed": at_least(0), "feature_dtype": FEATURE_DTYPE}
SPLIT_PEOPLE = {"train": range(1, 8), "test": range(8, 11)}
FEATURE_WIDTH = 256  # columns of the projection
PROJECTION_SEED = 20180205  # never changed: another projection would be another dataset
WINDOWS = {"shortest_seconds": 3.0, "growth": 1.4, "longest_seconds": 24.0}  # the proposals
_GENERATION = 1  # raise it when the code below makes other data from the same settings

CITATION = """@article{burns2018shoulder,
  title={Shoulder physiotherapy exercise recognition: machine learning the inertial signals from a smartwatch},
  author={Burns, David M and Leung, Nathan and Hardisty, Michael and Whyne, Cari M and Henry, Patrick and
          McLachlin, Stewart},
  journal={Physiological Measurement}, volume={39}, number={7}, year={2018}, note={arXiv:1802.01489}
}"""


class Shoulder(VideoDatasetBuilder):
    """TFDS builder; make it with `make_builder`."""

    dataset_description = "Shoulder exercises in sessions spliced from real wrist recordings (seglearn 1.2.5, BSD-3)."
    dataset_citation = CITATION
    dataset_homepage = "https://github.com/dmbee/seglearn"
    seed: int

    def make_contents(self) -> Contents:
        config = self.builder_config
        recordings = shoulder_sessions.read_recordings(shoulder_sessions.recordings_file())
        sessions = {
            split: shoulder_sessions.splice_sessions(recordings, people, self.seed, Composition())
            for split, people in SPLIT_PEOPLE.items()
        }
        statistics = {
            session.video_id: shoulder_sessions.snippet_statistics(session.signal)
            for split in sessions
            for session in sessions[split]
        }
        standardizer = Standardizer.fit(
            [statistics[s.video_id] for s in sessions["train"]], config.feature_width, PROJECTION_SEED
        )
        records = {split: [_record(session) for session in sessions[split]] for split in sessions}

        def videos(split):
            for record in records[split]:
                yield record, standardizer(statistics[record.video_id], config.feature_dtype)

        return Contents(splits={split: (len(records[split]), lambda split=split: videos(split)) for split in records})


def make_builder(data_dir: str, composition_seed: int, feature_dtype: str) -> Shoulder:
    """The builder of sessions spliced by this seed; nothing is built before `download_and_prepare`.

    InputError: the recordings are not installed, or a setting is outside its range.
    """
    shoulder_sessions.recordings_file()  # raises if they are absent, before any folder is made
    settings = {
        "seed": composition_seed,
        "feature_width": FEATURE_WIDTH,
        "feature_dtype": feature_dtype,
        "longest_window_seconds": WINDOWS["longest_seconds"],
    }
    inputs = {
        "generation": _GENERATION,
        "recordings_sha256": shoulder_sessions.RECORDINGS_SHA256,
        "composition": asdict(Composition()),
        "projection_seed": PROJECTION_SEED,
        "settings": settings,
    }
    config = VideoDatasetConfig(
        name=inputs_key(inputs),
        feature_width=FEATURE_WIDTH,
        feature_dtype=feature_dtype,
        class_names=shoulder_sessions.ACTIONS,
    )
    builder = Shoulder(data_dir=data_dir, config=config, file_format="array_record")
    builder.seed = composition_seed
    return builder


def _record(session: Session) -> VideoRecord:
    num_frames = len(session.signal)
    proposals = sliding_windows(num_frames, FPS, **WINDOWS)
    labels, tiou, overlap_self, coverage = label_proposals(
        proposals, session.gt_segments, session.gt_labels, num_frames
    )
    return VideoRecord(
        video_id=session.video_id,
        group=session.group,
        num_frames=num_frames,
        fps=float(FPS),
        gt_labels=session.gt_labels,
        gt_segments=session.gt_segments,
        proposals=proposals,
        proposal_labels=labels,
        proposal_tiou=tiou,
        proposal_overlap_self=overlap_self,
        proposal_coverage=coverage,
    )
