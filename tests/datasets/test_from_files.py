"""Datasets of users' own files: what every format becomes, and what is left out and counted."""

import dataclasses
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

from input_pipeline.datasets import prepare
from input_pipeline.datasets.stored_features import StoredFeatures
from input_pipeline.formats.proposal_list import read_proposal_list, write_proposal_list
from tests.helpers.custom_files import SPLITS, TIMES, built_dataset, settings_and_inputs, split_report, write_dataset
from tests.helpers.published import FPS, data_settings
from tests.helpers.tiny_runs import CLASSES, WIDTH, tiny_video
from tests.helpers.video_records import opened


def assert_tiny_videos(source, split: str, scored: bool):
    assert [record.video_id for record in source.records] == [f"{split}_{i}" for i in range(SPLITS[split])]
    for index, record in enumerate(source.records):
        expected, features = tiny_video(record.video_id)
        np.testing.assert_array_equal(source.features(index), features)
        for field in ("num_frames", "fps", "gt_labels", "gt_segments", "proposals", "proposal_labels"):
            np.testing.assert_array_equal(getattr(record, field), getattr(expected, field), field)
        for field in ("proposal_tiou", "proposal_overlap_self", "proposal_coverage"):
            np.testing.assert_allclose(getattr(record, field), getattr(expected, field), atol=1e-4)
        assert (record.proposal_scores is not None) == scored


@pytest.mark.parametrize("proposals", ["list", "csv", "json"])
def test_every_form_of_proposals_gives_the_same_videos(tmp_path, proposals):
    builder = built_dataset(tmp_path, write_dataset(tmp_path, proposals))
    for split in SPLITS:
        assert_tiny_videos(opened(builder, split), split, scored=proposals != "list")
    assert builder.builder_config.class_names == (("1", "2") if proposals == "list" else tuple(CLASSES))
    ranked = split_report(builder)["average_recall"]["ranked_by"]
    assert ranked == ("file order" if proposals == "list" else "score")


def test_one_file_of_features_for_all_videos(tmp_path):
    keys = write_dataset(tmp_path)
    for split in SPLITS:
        folder = Path(keys[f"{split}_features"])
        keys[f"{split}_features"] = str(folder.with_suffix(".h5"))
        with h5py.File(folder.with_suffix(".h5"), "w") as file:
            for path in folder.iterdir():
                file[path.stem] = np.load(path)
    assert_tiny_videos(opened(built_dataset(tmp_path, keys), "test"), "test", scored=False)


def test_a_prepared_dataset_is_found_again_and_any_change_of_its_inputs_is_another(tmp_path):
    keys = write_dataset(tmp_path)
    first = built_dataset(tmp_path, keys)
    assert built_dataset(tmp_path, keys).data_dir == first.data_dir
    moved = tmp_path / "elsewhere"
    shutil.copytree(tmp_path / "train_features", moved)
    assert built_dataset(tmp_path, keys | {"train_features": str(moved)}).data_dir == first.data_dir
    features = Path(keys["train_features"]) / "train_0.npy"
    np.save(features, np.load(features) + 1)
    second = built_dataset(tmp_path, keys)
    assert second.data_dir != first.data_dir
    Path(keys["test_proposals"]).write_text(Path(keys["test_proposals"]).read_text() + "\n")
    assert (
        len({built_dataset(tmp_path, keys).data_dir, built_dataset(tmp_path, keys, fps=30.0).data_dir, second.data_dir})
        == 3
    )


def test_videos_that_cannot_be_used_are_left_out_and_counted(tmp_path):
    keys = write_dataset(tmp_path)
    folder = Path(keys["train_features"])
    (folder / "train_0.npy").unlink()
    np.save(folder / "train_1.npy", np.where(np.eye(40, WIDTH) > 0, np.nan, 1))
    np.save(folder / "unlisted.npy", np.ones((40, WIDTH)))
    np.save(folder / "train_2.npy", tiny_video("train_2")[1][:30])
    shutil.copy(folder / "train_3.npy", Path(keys["test_features"]) / "test_0.npy")
    builder = built_dataset(tmp_path, keys)
    report = split_report(builder, "train")
    assert [record.video_id for record in opened(builder, "train").records] == ["train_2", "train_3"]
    assert (report["videos"], report["kept"]) == (4, 2)
    assert report["missing_features"] == ["train_0"] and report["non_finite"] == ["train_1"]
    assert report["missing_proposals"] == ["unlisted"] and report["no_ground_truth"] == []
    assert report["length_mismatch"] == {"train_2": {"snippets": 30, "expected": [39, 48]}}
    assert report["duplicates"] == ["train_3"] and split_report(builder)["duplicates"] == ["test_0"]


def test_a_list_that_says_something_else_than_its_ground_truth_is_reported(tmp_path):
    keys = write_dataset(tmp_path)
    records = read_proposal_list(keys["test_proposals"], FPS)
    wrong = np.where(np.arange(len(records[0].proposals)) < 3, 1 - records[0].proposal_tiou, records[0].proposal_tiou)
    write_proposal_list(keys["test_proposals"], [dataclasses.replace(records[0], proposal_tiou=wrong), *records[1:]])
    assert split_report(built_dataset(tmp_path, keys))["list_disagrees"] == {records[0].video_id: 3}


def test_most_lengths_wrong_is_a_setting_wrong(tmp_path, capsys):
    keys = write_dataset(tmp_path)
    _, inputs = settings_and_inputs(keys, data__snippet_stride=16)
    inputs.prepare(str(tmp_path / "run"))
    assert "times as many snippets as its duration and config.data.fps" in capsys.readouterr().out


def test_a_video_of_one_snippet_goes_through(tmp_path):
    keys = write_dataset(tmp_path)
    np.save(Path(keys["test_features"]) / "test_0.npy", np.ones((1, WIDTH)))
    builder = built_dataset(tmp_path, keys)
    assert opened(builder, "test").num_snippets.tolist() == [1, 40]
    assert list(split_report(builder)["length_mismatch"]) == ["test_0"]


def test_a_killed_build_never_looks_finished(tmp_path):
    keys = write_dataset(tmp_path)
    builder = built_dataset(tmp_path, keys)
    shutil.rmtree(builder.data_dir)
    read = StoredFeatures.__call__
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StoredFeatures, "__call__", lambda self, record: killed(read, self, record))
        with pytest.raises(KeyboardInterrupt):
            built_dataset(tmp_path, keys)
    assert not Path(builder.data_dir).exists()
    assert len(opened(built_dataset(tmp_path, keys), "train")) == SPLITS["train"]


def killed(read, stored, record):
    if record.video_id == "test_1":
        raise KeyboardInterrupt
    return read(stored, record)


def test_a_beam_runner_writes_the_same_videos(tmp_path):
    pytest.importorskip("apache_beam")
    keys = write_dataset(tmp_path)
    np.save(Path(keys["train_features"]) / "train_1.npy", np.full((40, WIDTH), np.nan))
    here = built_dataset(tmp_path, keys)
    beam = prepare("custom", tmp_path / "beam", data_settings(**TIMES | keys), beam_runner="DirectRunner")
    for split in SPLITS:
        assert opened(beam, split).identity == opened(here, split).identity
    assert beam.report() == here.report()
    assert Path(beam.data_dir).name == Path(here.data_dir).name
