"""The list parser against what the authors' own parser made of the same files."""

import dataclasses

import numpy as np
import pytest

from input_pipeline.formats.proposal_list import read_proposal_list, write_proposal_list
from input_pipeline.formats.values import ReadReport
from tests.helpers.golden_data import GOLDEN
from tests.helpers.published import FPS

FIELDS = {
    "num_frames": "num_frames",
    "proposals": "proposals",
    "labels": "proposal_labels",
    "best_iou": "proposal_tiou",
    "overlap_self": "proposal_overlap_self",
    "coverage": "proposal_coverage",
}


@pytest.mark.parametrize("split", ["train", "test"])
def test_golden_lists_parse_to_the_authors_records(split):
    golden = np.load(GOLDEN / "sampling.npz")
    records = {record.video_id: record for record in read_proposal_list(GOLDEN / f"{split}_proposal_list.txt", FPS)}
    assert set(golden[f"{split}_video_ids"]) <= set(records)
    compared = 0
    for video_id in golden[f"{split}_video_ids"]:
        record = records[str(video_id)]
        for key, field in FIELDS.items():
            if f"{split}_{video_id}_{key}" in golden:
                np.testing.assert_array_equal(getattr(record, field), golden[f"{split}_{video_id}_{key}"], key)
                compared += 1
        if f"{split}_{video_id}_gt" in golden:
            gt = np.column_stack([record.gt_labels, record.gt_segments])
            np.testing.assert_array_equal(gt, golden[f"{split}_{video_id}_gt"])
            compared += 1
    assert compared == {"train": 5 * 7, "test": 3 * 2}[split]


def test_golden_list_counts_what_it_skips():
    report = ReadReport()
    records = read_proposal_list(GOLDEN / "train_proposal_list.txt", FPS, report=report)
    assert {what: len(where) for what, where in report.findings.items()} == {
        "ground truth skipped: end <= start": 2,
        "ground truth skipped: starts after the end of the video": 1,
        "ground truth clipped at the end of the video": 1,
        "proposal skipped: end <= start": 2,
        "proposal skipped: starts after the end of the video": 1,
        "proposal clipped at the end of the video": 2,
    }
    (without_gt,) = (record for record in records if record.video_id == "gZ")
    assert without_gt.gt_segments.shape == (0, 2) and len(without_gt.proposals) == 2


@pytest.mark.parametrize("split", ["train", "test"])
def test_golden_lists_survive_writing(split, tmp_path):
    records = read_proposal_list(GOLDEN / f"{split}_proposal_list.txt", FPS)
    write_proposal_list(tmp_path / "list.txt", records)
    report = ReadReport()
    for record, again in zip(records, read_proposal_list(tmp_path / "list.txt", FPS, report=report), strict=True):
        for field in dataclasses.fields(record):
            np.testing.assert_array_equal(getattr(again, field.name), getattr(record, field.name), field.name)
    assert not any("skipped" in what for what in report.findings)
