"""The datasets by name. `prepare` builds one where it is not built yet and returns its TFDS builder."""

import contextlib
import fcntl
import importlib
import importlib.util
import io
import os
import sys
from pathlib import Path

from absl import logging

from contextloc_jax.core.errors import InputError

# Each module offers make_builder(data_dir, **settings) -> VideoDatasetBuilder.
REGISTRY = {
    "activitynet13": "input_pipeline.datasets.activitynet13",
    "custom": "input_pipeline.datasets.custom",
    "shoulder": "input_pipeline.datasets.shoulder",
    "synthetic": "input_pipeline.datasets.synthetic",
    "thumos14": "input_pipeline.datasets.thumos14",
}


def prepare(name: str, data_dir: str, beam_runner: str = "", **settings):
    """The finished builder of dataset `name` under `data_dir`; `settings` are the dataset's own.

    beam_runner: the runner of Apache Beam on which datasets of files are built; '': this process.

    A second call with the same settings and unchanged input files finds the first one's result. A build that was
    killed leaves only an `incomplete.*` folder, which is never taken for a dataset. Of several processes that start
    together one builds, under a kernel lock on data_dir/NAME.lock, and the others wait and find it.
    Raises InputError (unknown name, missing inputs, a data_dir that cannot be written).
    """
    if name not in REGISTRY:
        raise InputError(f"dataset {name!r} is unknown: expected one of {', '.join(sorted(REGISTRY))}")
    if beam_runner and importlib.util.find_spec("apache_beam") is None:
        raise InputError(
            f"config.data.beam_runner is {beam_runner!r}, but Apache Beam is not installed: "
            "pip install -r requirements-beam.txt"
        )
    try:
        with _quiet_tfds():
            builder = _built(importlib.import_module(REGISTRY[name]).make_builder, str(data_dir), beam_runner, settings)
    except OSError as error:
        raise InputError(f"{data_dir}: the dataset {name} cannot be written there ({error})") from None
    return builder


def _built(make_builder, data_dir: str, beam_runner: str, settings: dict):
    import tensorflow_datasets as tfds

    builder = make_builder(data_dir, **settings)
    if builder.info.splits:  # found finished, perhaps where nothing can be written
        return builder
    with _alone(Path(data_dir), builder.name):
        if builder.data_path.exists():  # another process finished it meanwhile
            return make_builder(data_dir, **settings)
        builder.beam_runner = beam_runner or None
        builder.download_and_prepare(download_config=tfds.download.DownloadConfig(beam_runner=builder.beam_runner))
        builder.report()  # made once, from what was written
    return builder


@contextlib.contextmanager
def _alone(data_dir: Path, name: str):
    """For as long as its block takes, no other process builds such a dataset there."""
    data_dir.mkdir(parents=True, exist_ok=True)
    path = data_dir / f"{name}.lock"
    while True:
        with path.open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                print(f"prepare {name}: another process builds it; waiting", file=sys.stderr, flush=True)
                fcntl.flock(file, fcntl.LOCK_EX)
            if _is_at(path, file):  # else its last holder has removed it
                try:
                    yield
                finally:
                    path.unlink()
                return


def _is_at(path: Path, file) -> bool:
    """Whether the path still leads to this open file."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def _quiet_tfds():
    """TFDS announces a download that does not happen, warns of configs made at run time and shows bars per shard;
    the builders print one progress line on stderr instead."""
    import tensorflow_datasets as tfds  # here: it takes a second to import, and a wrong name need not wait for it

    tfds.disable_progress_bar()
    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.set_verbosity(verbosity)
