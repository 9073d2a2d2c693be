"""Folders of a user's own data: the tiny videos of tiny_runs.py in the documented formats, and datasets of them."""

from pathlib import Path

import numpy as np

from configs import custom
from contextloc_jax.commands.settings import Settings, read_settings
from contextloc_jax.workdir.config_file import flatten
from input_pipeline.datasets import prepare
from input_pipeline.formats.annotations import VideoAnnotation, write_annotations
from input_pipeline.formats.proposal_list import write_proposal_list
from input_pipeline.formats.proposal_tables import VideoProposals, write_proposal_csv, write_proposal_json
from input_pipeline.inputs import Inputs
from tests.helpers.published import data_settings
from tests.helpers.tiny_runs import CLASSES, tiny_video

SPLITS = {"train": 4, "test": 2}
TIMES = {"fps": 25.0}  # of the tiny videos
SMALL = {
    "batch_size": 4, "num_epochs": 1, "visits_per_epoch": 2, "evaluate_every": 1, "data.fps": 25.0,
    "model.context_width": 4, "model.graph_width": 4, "optimizer.decay_epochs": (),
}  # fmt: skip


def write_dataset(folder: Path, proposals: str = "list", annotated: bool = True) -> dict[str, str]:
    """Writes train and test videos; returns the keys of config.data that are to be set.

    proposals: 'list' (with ground truth of its own), 'csv' or 'json' (ground truth in annotations.json).
    """
    keys, annotations = {"num_classes": len(CLASSES)}, []
    for split, count in SPLITS.items():
        records = []
        features = folder / f"{split}_features"
        features.mkdir(parents=True)
        for number in range(count):
            record, array = tiny_video(f"{split}_{number}")
            records.append(record)
            np.save(features / f"{record.video_id}.npy", array)
            annotations.append(annotation(record, split))
        keys[f"{split}_features"] = str(features)
        keys[f"{split}_proposals"] = str(folder / f"{split}.{'txt' if proposals == 'list' else proposals}")
        if proposals == "list":
            write_proposal_list(keys[f"{split}_proposals"], records)
        else:
            write = write_proposal_csv if proposals == "csv" else write_proposal_json
            write(keys[f"{split}_proposals"], [in_seconds(record) for record in records])
    if proposals != "list" and annotated:
        keys["annotations"] = str(folder / "annotations.json")
        write_annotations(keys["annotations"], annotations)
    return keys


def custom_config(keys: dict, **changes):
    """configs/custom.py, small, with these keys of config.data and further changes by flat key ('data__fps')."""
    config = custom.get_config()
    config.update_from_flattened_dict(SMALL | {f"data.{key}": value for key, value in keys.items()})
    config.update_from_flattened_dict({key.replace("__", "."): value for key, value in changes.items()})
    return config


def settings_and_inputs(keys: dict, **changes) -> tuple[Settings, Inputs]:
    """What the command line makes of `custom_config`."""
    settings = read_settings(flatten(custom_config(keys, **changes)))
    return settings, Inputs(**settings.inputs._asdict())


def annotation(record, subset: str) -> VideoAnnotation:
    """A record's ground truth in seconds."""
    labels = tuple(CLASSES[label - 1] for label in record.gt_labels)
    return VideoAnnotation(
        record.video_id, labels, record.gt_segments / record.fps, subset, record.duration_seconds, None, record.fps
    )


def in_seconds(record) -> VideoProposals:
    """A record's proposals, each with a score that falls with its place."""
    return VideoProposals(record.video_id, record.proposals / record.fps, 1 / (1 + np.arange(len(record.proposals))))


def built_dataset(folder: Path, keys: dict, need_ground_truth=True, **settings):
    """The builder of `custom`, prepared below folder/tfds from these keys of config.data."""
    data = data_settings(**TIMES | keys | settings)
    return prepare("custom", folder / "tfds", data, need_ground_truth=need_ground_truth)


def split_report(builder, split="test") -> dict:
    """What data_report.json says of a split."""
    return builder.report()["splits"][split]
