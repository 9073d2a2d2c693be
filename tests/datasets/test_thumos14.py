"""The presets and classes of THUMOS14."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from contextloc_jax.core.errors import InputError
from input_pipeline.datasets import prepare
from input_pipeline.datasets.thumos14 import CLASS_NAMES, EXCLUDED
from input_pipeline.formats.annotations import VideoAnnotation, write_annotations
from input_pipeline.formats.proposal_list import write_proposal_list
from tests.helpers.custom_files import SPLITS, TIMES, annotation
from tests.helpers.custom_runs import train
from tests.helpers.published import data_settings
from tests.helpers.thumos_files import write_thumos
from tests.helpers.tiny_runs import tiny_video
from tests.helpers.video_records import opened


@pytest.mark.parametrize("test_videos", [210, 211, 213])
def test_presets_of_thumos14(tmp_path, test_videos):
    ids = [*sorted(EXCLUDED[210]), "video_test_0000004"]
    keys = thumos_like(tmp_path, ids)
    builder = prepare("thumos14", tmp_path / "tfds", data_settings(**TIMES | keys, test_videos=test_videos))
    kept = [record.video_id for record in opened(builder, "test").records]
    assert len(kept) == 4 - (213 - test_videos) and kept == sorted(set(ids) - EXCLUDED[test_videos])
    report = builder.report()["splits"]["test"]
    assert report["left_out"] == sorted(EXCLUDED[test_videos]) and not report["missing_proposals"]
    assert list(report["instances"]) == list(CLASS_NAMES)


def test_a_preset_that_thumos14_does_not_have(tmp_path):
    keys = thumos_like(tmp_path, ["video_test_0000004"])
    with pytest.raises(InputError, match=r"^config\.data\.test_videos is 212; expected one of 213, 211, 210$"):
        prepare("thumos14", tmp_path / "tfds", data_settings(**TIMES | keys, test_videos=212))


def thumos_like(folder: Path, test_ids: list[str]) -> dict:
    keys = {}
    for split, ids in (("train", ["video_validation_0000051"]), ("test", test_ids)):
        records = []
        (folder / split).mkdir()
        for video_id in ids:
            record, features = tiny_video(video_id)
            records.append(record)
            np.save(folder / split / f"{video_id}.npy", features)
        write_proposal_list(folder / f"{split}.txt", records)
        keys |= {f"{split}_features": str(folder / split), f"{split}_proposals": str(folder / f"{split}.txt")}
    return keys


def test_annotated_labels_that_the_dataset_does_not_have(tmp_path):
    keys = thumos_like(tmp_path, ["video_test_0000004"])
    record, _ = tiny_video("video_test_0000004")
    keys["annotations"] = str(tmp_path / "annotations.json")
    keys["test_proposals"] = str(tmp_path / "test.csv")
    seconds = record.proposals[0] / record.fps
    Path(keys["test_proposals"]).write_text(f"video_id,start,end\n{record.video_id},{seconds[0]},{seconds[1]}\n")
    write_annotations(keys["annotations"], [annotation(record, "test")])
    with pytest.raises(InputError, match=r"^[^\n]*annotated label '(lift|turn)' is not one of the 20 classes[^\n]*$"):
        prepare("thumos14", tmp_path / "tfds", data_settings(**TIMES | keys))
    named = VideoAnnotation(record.video_id, ("Diving",), np.array([[1.0, 5.0]]), "test", record.duration_seconds)
    write_annotations(keys["annotations"], [named])
    builder = prepare("thumos14", tmp_path / "tfds", data_settings(**TIMES | keys))
    assert opened(builder, "test").records[0].gt_labels.tolist() == [CLASS_NAMES.index("Diving") + 1]


@pytest.mark.usefixtures("quick_compiler")
def test_real_thumos14_annotations_train(tmp_path):
    """A few of the videos; all 413: python -m tests.helpers.thumos_files."""
    path = Path(os.environ.get("CONTEXTLOC_DATA", "absent")) / "thumos14_annotations.json"
    if not path.is_file():
        pytest.skip("CONTEXTLOC_DATA is unset, or lacks the THUMOS14 annotations")
    keys = write_thumos(path, tmp_path / "files", width=8, videos_per_split=6)
    metrics = train(keys | {"dataset": "thumos14", "num_classes": 20}, tmp_path / "run", data__fps=30.0)
    report = json.loads((tmp_path / "run" / "data_report.json").read_text())["splits"]
    assert [report[split]["kept"] for split in SPLITS] == [6, 6] and metrics["videos"] == 6
    assert all(not report[split][key] for split in SPLITS for key in ("length_mismatch", "missing_proposals"))
    assert report["train"]["recall"]["0.5"] > 0.9
