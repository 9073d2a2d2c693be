"""The ids of ActivityNet, with and without the prefix of its files."""

from pathlib import Path

from input_pipeline.datasets import prepare
from tests.helpers.custom_files import SPLITS, TIMES, write_dataset
from tests.helpers.published import data_settings
from tests.helpers.video_records import opened


def test_annotations_without_the_prefix_of_activitynets_files(tmp_path):
    keys = write_dataset(tmp_path, "csv")
    for split in SPLITS:
        path = Path(keys[f"{split}_proposals"])
        path.write_text(path.read_text().replace(f"\n{split}_", f"\nv_{split}_"))
        for file in list(Path(keys[f"{split}_features"]).iterdir()):
            file.rename(file.with_name(f"v_{file.name}"))
    record = opened(prepare("activitynet13", tmp_path / "tfds", data_settings(**TIMES | keys)), "test").records[0]
    assert record.video_id == "v_test_0" and len(record.gt_labels) == 2
