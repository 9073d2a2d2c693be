"""The commands on files of a user's own (custom_files.py), and a run on files in P-GCN's form."""

import functools
import json
import pickle
import struct
from pathlib import Path

import numpy as np

from contextloc_jax.commands.predict import predict as predict_command
from contextloc_jax.commands.train import train as train_command
from tests.helpers.custom_files import SPLITS, settings_and_inputs, write_dataset
from tests.helpers.tiny_runs import SilentWriter
from tests.helpers.torch_bytes import legacy, tensor_pickle


def train(keys: dict, workdir: Path, **changes) -> dict:
    """Trains and evaluates; returns the content of metrics.json."""
    settings, inputs = settings_and_inputs(keys, **changes)
    train_command(settings, str(workdir), inputs, SilentWriter)
    return json.loads((workdir / "metrics.json").read_text())


def predict(keys: dict, workdir: Path, **changes) -> None:
    settings, inputs = settings_and_inputs(keys, **changes)
    predict_command(settings, str(workdir), inputs)


@functools.cache
def trained_on_pgcn_files(kept: Path) -> tuple[dict, Path, dict]:
    """(keys of config.data, workdir, metrics) of a run on P-GCN's form: torch files by bare name, and two lists.

    kept: the fixture `kept_runs`. A process trains once, whichever test asks first.
    """
    folder = kept / "pgcn"
    keys = write_dataset(folder / "files")
    for split in SPLITS:
        for path in list(Path(keys[f"{split}_features"]).iterdir()):
            array = np.load(path)
            columns = array.shape[1]
            data = struct.pack("<q", array.size) + array.tobytes()
            described = tensor_pickle(count=array.size, shape=array.shape, strides=(columns, 1))
            path.with_suffix("").write_bytes(legacy(described, pickle.dumps(["0"], 2), data))
            path.unlink()
    return keys, folder / "run", train(keys, folder / "run")
