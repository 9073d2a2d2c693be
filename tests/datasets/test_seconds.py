"""Records of proposals and instances in seconds: which frame a second is, and how long a video."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from contextloc_jax.core.errors import InputError
from input_pipeline.datasets.seconds import SecondsReader
from input_pipeline.formats.annotations import VideoAnnotation
from input_pipeline.formats.proposal_tables import VideoProposals
from input_pipeline.formats.values import ReadReport
from input_pipeline.videos.timing import Timing
from tests.helpers.custom_files import built_dataset, split_report, write_dataset
from tests.helpers.tiny_runs import WIDTH
from tests.helpers.video_records import opened

TIMING = Timing(fps=10.0, snippet_stride=8, snippet_length=64, num_bins=0)


def test_csv_without_annotations_takes_its_lengths_from_the_features(tmp_path):
    keys = write_dataset(tmp_path, "csv", annotated=False)
    builder = built_dataset(tmp_path, keys, need_ground_truth=False)
    record = opened(builder, "test").records[0]
    assert record.num_frames == 8 * 39 + 64 and not len(record.gt_labels)
    report = split_report(builder)
    assert report["guessed_frames"] == report["no_ground_truth"] == ["test_0", "test_1"]
    assert builder.report()["notes"] == [
        "25 frames per second assumed for 2 videos (config.data.fps), as no file gives it"
    ]


@pytest.mark.parametrize("annotated_fps, expected", [(25.0, 25.0), (10.0, 10.0), (3.0, 10.0)])
def test_the_frame_rate_that_the_features_fit_is_taken(tmp_path, annotated_fps, expected):
    """Annotators may have looked at another rate than the features were extracted at."""
    keys = write_dataset(tmp_path, "csv")
    content = json.loads(Path(keys["annotations"]).read_text())
    for name, video in content["database"].items():
        video["fps"] = annotated_fps
        snippets = int((video["duration"] * expected - 64) // 8) + 1
        np.save(Path(keys[f"{video['subset']}_features"]) / f"{name}.npy", np.ones((snippets, WIDTH)))
    Path(keys["annotations"]).write_text(json.dumps(content))
    builder = built_dataset(tmp_path, keys, fps=10.0)
    assert {record.fps for record in opened(builder, "test").records} == {expected}
    assert bool(split_report(builder)["reading"]) == (annotated_fps != expected)
    assert not split_report(builder)["length_mismatch"]


def read_record(proposals, annotation=None, num_snippets=None, timing=TIMING, scores=None):
    """(record, report, ids with a guessed length) of video 'v' with proposals in seconds."""
    report, guessed = ReadReport(), set()
    annotated = {} if annotation is None else {"v": annotation}
    reader = SecondsReader("p.csv", ["run", "jump"], annotated, timing, lambda _: num_snippets, report, guessed)
    segments = np.array(proposals, np.float64).reshape(-1, 2)
    return reader.record(VideoProposals("v", segments, scores)), report, guessed


def annotated(segments=(), labels=(), **times) -> VideoAnnotation:
    return VideoAnnotation("v", tuple(labels), np.array(segments, np.float64).reshape(-1, 2), **times)


def test_a_second_is_the_nearest_frame():
    record, report, _ = read_record([(0.04, 1.06), (0.06, 0.94)], annotated(duration_seconds=20.0))
    assert (record.num_frames, record.fps) == (200, 10.0)
    assert record.proposals.tolist() == [[0, 11], [1, 9]] and record.proposals.dtype == np.int64
    assert not report.findings and record.proposal_scores is None


def test_proposals_that_do_not_lie_in_the_video_are_skipped_or_clipped_and_counted():
    proposals = [(1, 2), (3, 3.02), (20, 25), (19, 30), (19.99, 20)]
    scores = np.array([0.1, 0.2, 0.3, 0.4, 0.5])
    record, report, _ = read_record(proposals, annotated(duration_seconds=20.0), scores=scores)
    assert record.proposals.tolist() == [[10, 20], [190, 200]]
    assert record.proposal_scores.tolist() == [0.1, 0.4]
    assert record.proposal_coverage.tolist() == [10 / 200, 110 / 200]  # of the proposal as it was given
    assert {what: len(where) for what, where in report.findings.items()} == {
        "proposal skipped: shorter than a frame": 2,
        "proposal skipped: starts after the end of the video": 1,
        "proposal clipped at the end of the video": 1,
    }
    assert report.findings["proposal clipped at the end of the video"] == ["p.csv: video 'v' [19, 30]"]


def test_annotated_instances_become_frames_and_class_indices():
    segments, labels = [(1, 2), (5, 9.5), (7, 7.01), (19, 22)], ("jump", "run", "run", "jump")
    record, report, _ = read_record([(1, 2)], annotated(segments, labels, duration_seconds=20.0))
    assert record.gt_labels.tolist() == [2, 1, 2]
    assert record.gt_segments.tolist() == [[10, 20], [50, 95], [190, 200]]
    assert (record.proposal_labels.tolist(), record.proposal_tiou.tolist()) == ([2], [1.0])
    assert report.count("ground truth skipped: shorter than a frame") == 1
    assert report.count("ground truth clipped at the end of the video") == 1


def test_an_annotated_label_of_no_class_is_one_line():
    with pytest.raises(
        InputError, match=r"^p\.csv: video 'v': annotated label 'swim' is not one of the 2 classes[^\n]*$"
    ):
        read_record([(1, 2)], annotated([(1, 2)], ["swim"], duration_seconds=20.0))


@pytest.mark.parametrize(
    ("times", "num_snippets", "expected", "is_guessed"),
    [
        ({"duration_seconds": 20.0}, 1, (200, 10.0), False),  # stated, at the rate of the settings: not doubted
        ({"num_frames": 50}, 1, (50, 10.0), False),  # and frames are frames
        ({}, 18, (200, 10.0), True),
        ({"duration_seconds": 20.0, "fps": 30.0}, 70, (600, 30.0), False),
        ({"duration_seconds": 20.0, "fps": 30.0}, 18, (200, 10.0), False),  # only the rate of the settings fits
        ({"duration_seconds": 20.0, "fps": 30.0}, 500, (600, 30.0), False),  # neither fits: as annotated
        ({"duration_seconds": 20.0, "fps": 30.0}, None, (600, 30.0), False),  # without features
    ],
)
def test_how_long_a_video_is_and_at_which_rate(times, num_snippets, expected, is_guessed):
    record, report, guessed = read_record([(1, 2)], annotated(**times), num_snippets)
    assert (record.num_frames, record.fps) == expected
    assert guessed == ({"v"} if is_guessed else set())
    assert bool(report.findings) == (times.get("fps") == 30.0 and expected == (200, 10.0))


def test_without_annotation_and_features_the_length_does_not_matter():
    record, report, guessed = read_record([(1, 2), (1e7, 2e7)])
    assert record.proposals.tolist() == [[10, 20], [100_000_000, 200_000_000]]
    assert not report.findings and not guessed


def test_bins_over_a_video_of_unknown_duration_are_one_line():
    with pytest.raises(InputError, match=r"^p\.csv: video 'v': its duration is unknown[^\n]*config\.data\.annotations"):
        read_record([(1, 2)], num_snippets=100, timing=dataclasses.replace(TIMING, num_bins=100))
