"""data_report.json: every number counted by hand."""

import dataclasses
import json

import numpy as np
import pytest

from contextloc_jax.core.errors import InputError
from input_pipeline.datasets.data_report import (
    Findings,
    Written,
    make_report,
    proposal_recall,
    recall_at,
    summary_lines,
    write_report,
)
from input_pipeline.formats.values import ReadReport
from input_pipeline.videos.labels import label_proposals
from input_pipeline.videos.records import VideoRecord
from input_pipeline.videos.timing import Timing

TIMING = Timing(fps=10.0, snippet_stride=8, snippet_length=64, num_bins=0)


def record(name, gt=((0, 100, 1),), proposals=((0, 80),), scores=None, num_frames=400) -> VideoRecord:
    gt = np.array(gt, np.int64).reshape(-1, 3)
    proposals = np.array(proposals, np.int64).reshape(-1, 2)
    labeled = label_proposals(proposals, gt[:, :2], gt[:, 2], num_frames)
    scores = None if scores is None else np.array(scores, np.float64)
    return VideoRecord(name, num_frames, 10.0, gt[:, 2], gt[:, :2], proposals, *labeled, proposal_scores=scores)


def written(name, num_snippets=43, digest=None, **fields) -> Written:
    return Written(record(name, **fields), num_snippets, digest or name)


def report_of(*videos: Written, **findings) -> dict:
    splits = {"train": (Findings(**findings), list(videos)), "test": (Findings(), [written("t")])}
    return make_report("tiny", ["jump", "sit"], splits, ["something assumed"])


def test_counts_of_a_split():
    report = report_of(
        written("a", gt=[(0, 100, 1), (200, 300, 1)], proposals=[(0, 80), (0, 100), (5, 9)]),
        written("b", gt=(), proposals=[(3, 5)]),
        listed=frozenset("abcd"),
        missing_features=["c"],
    )["splits"]["train"]
    assert (report["videos"], report["kept"], report["seconds"]) == (4, 2, 80)
    assert report["missing_features"] == ["c"] and report["non_finite"] == ["d"]
    assert report["no_ground_truth"] == ["b"]
    assert report["instances"] == {"jump": 2, "sit": 0}
    assert report["proposals"] == {"total": 4, "least": 1, "median": 2, "most": 3}
    assert report["recall"] == {"0.5": 0.5, "0.7": 0.5, "0.9": 0.5}


def test_duplicates_are_found_within_and_between_splits():
    splits = report_of(written("a", digest="same"), written("b", digest="same"), written("t"))["splits"]
    assert splits["train"]["duplicates"] == ["a", "b", "t"] and splits["test"]["duplicates"] == ["t"]
    assert not report_of(written("a"), written("b"))["splits"]["train"]["duplicates"]


@pytest.mark.parametrize("snippets, fits", [(41, False), (42, True), (51, True), (52, False), (1, False)])
def test_lengths_may_be_one_snippet_off_either_way_of_counting(snippets, fits):
    """400 frames hold 43 whole snippets, or 50 that start inside the video."""
    report = report_of(written("a", num_snippets=snippets), timing=TIMING)["splits"]["train"]
    assert report["length_mismatch"] == ({} if fits else {"a": {"snippets": snippets, "expected": [42, 51]}})
    assert not report_of(written("a", num_snippets=snippets))["splits"]["train"]["length_mismatch"]
    binned = dataclasses.replace(TIMING, num_bins=100)
    assert not report_of(written("a", num_snippets=100), timing=binned)["splits"]["train"]["length_mismatch"]


def test_recall_of_a_case_counted_by_hand():
    gt = np.array([[0, 100], [200, 300]])
    proposals = np.array([[0, 80], [260, 400], [210, 265]])  # best tIoU 0.8 and 0.55
    no_proposals = (np.array([[0, 10]]), np.zeros((0, 2), np.int64))
    assert proposal_recall([(gt, proposals)], (0.5, 0.55, 0.7, 0.8, 0.9)) == [1, 1, 0.5, 0.5, 0]
    assert proposal_recall([(gt, proposals), no_proposals], (0.7,)) == [pytest.approx(1 / 3)]


def test_average_recall_ranks_by_score_where_there_are_scores():
    """One instance; the proposal that is right (tIoU 1) is the second in the file and has the best score."""
    proposals = [(300, 320), (0, 100)]
    in_file = recall_at([record("a", proposals=proposals)], counts=(1, 2))
    by_score = recall_at([record("a", proposals=proposals, scores=[0.1, 0.9])], counts=(1, 2))
    assert in_file == {"1": 0, "2": 1, "ranked_by": "file order"}
    assert by_score == {"1": 1, "2": 1, "ranked_by": "score"}


@pytest.mark.parametrize("videos", [[], [record("a", gt=())], [record("a", proposals=())]])
def test_no_average_recall_without_instances_or_proposals(videos):
    assert recall_at(videos) is None


def test_the_summary_names_what_is_not_as_it_should_be_and_nothing_else():
    reading = ReadReport()
    reading.note("proposal skipped: end <= start", "x.txt:7 (a)")
    many = [f"v{i}" for i in range(8)]
    videos = [written("a", num_snippets=86), *(written(name) for name in many)]
    report = report_of(videos[0], missing_features=many, listed=frozenset(["a", *many]), reading=reading, timing=TIMING)
    lines = summary_lines(report)
    assert lines[0].startswith("tiny train: 1 of 9 videos, 1 minutes, 1 instances of 1 classes, 1 proposals per video")
    assert "  8 videos left out: without features: v0, v1, v2, v3, v4 and 3 more" in lines
    assert "  1 videos whose features do not fit their duration: a" in lines
    assert any("the median of these has 1.85 times as many snippets" in line for line in lines)
    assert "  1 x proposal skipped: end <= start (first: x.txt:7 (a))" in lines
    assert lines[-1] == "  note: something assumed"
    assert len(summary_lines(report_of(*videos[1:]))) == 3  # two splits and the note


def test_written_whole_or_refused(tmp_path):
    report = report_of(written("vidéo"))
    write_report(tmp_path / "data_report.json", report)
    assert json.loads((tmp_path / "data_report.json").read_text()) == report
    with pytest.raises(InputError, match=r"cannot be written"):
        write_report(tmp_path / "absent" / "data_report.json", report)
