"""The datasets by name. `prepare` builds one, if it is not built yet, and returns its TFDS builder."""

import contextlib
import fcntl
import importlib
import importlib.util
import io
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import ModuleType

from absl import logging

from contextloc_jax.core.errors import InputError
from contextloc_jax.core.files import make_folder
from contextloc_jax.core.ranges import check_range, check_ranges, one_of

NAMES = ("activitynet13", "custom", "shoulder", "synthetic", "thumos14")  # modules of this package


def prepare(
    name: str,
    data_dir: str | os.PathLike,
    data: Mapping[str, object],
    beam_runner: str = "",
    need_ground_truth: bool = True,
):
    """The finished builder of dataset `name` under `data_dir`.

    data: the values of config.data by their keys, such as {"num_classes": 20, "synthetic.train_videos": 200, ...}. The
    dataset takes those that its SETTINGS name.
    beam_runner: the runner of Apache Beam on which datasets of files are built; '': this process.
    need_ground_truth: False for only the test split, with or without instances (only datasets made from files).

    A second call with the same settings and unchanged input files finds the dataset that the first one built. A killed
    build leaves only a folder `incomplete.*`, which is never read as a dataset. If several processes start together,
    one builds, with a kernel lock on data_dir/NAME.lock; the others wait and find its dataset.
    InputError: the name is unknown, settings or input files cannot be used, or data_dir cannot be written.
    """
    check(name, data)
    if beam_runner and importlib.util.find_spec("apache_beam") is None:
        raise InputError(
            f"config.data.beam_runner is {beam_runner!r}, but Apache Beam is not installed: "
            "pip install -r requirements-beam.txt"
        )
    try:
        with _quiet_tfds():
            module = _module(name)
            settings = _settings_of(module.SETTINGS, name, data, need_ground_truth)
            return _built(module.make_builder, str(data_dir), settings, beam_runner)
    except OSError as error:
        raise InputError(f"{data_dir}: the dataset {name} cannot be written there ({error})") from None


def check(name: str, data: Mapping[str, object]) -> None:
    """InputError: there is no such dataset, or one of its values is out of range. No file is read."""
    check_range("config.data.dataset", name, one_of(*NAMES))
    ranges = {key: allowed for key, allowed in _module(name).SETTINGS.items() if allowed is not None}
    check_ranges("config.data.", {key: data[key] for key in ranges}, ranges)


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"{__package__}.{name}")


def _settings_of(keys: Iterable[str], name: str, data: Mapping[str, object], need_ground_truth: bool) -> dict:
    """The values that a dataset takes, by the last part of their keys."""
    if not need_ground_truth and "need_ground_truth" not in keys:
        raise InputError(
            f"config.data.dataset is {name!r}, whose videos are all annotated; to predict on your own files, use "
            "--config.data.dataset=custom"
        )
    offered = dict(data) | {"need_ground_truth": need_ground_truth}
    return {key.rpartition(".")[2]: offered[key] for key in keys}


def _built(make_builder, data_dir: str, settings: dict, beam_runner: str):
    import tensorflow_datasets as tfds

    builder = make_builder(data_dir, **settings)
    if builder.info.splits:  # it is finished already; its folder may be read-only
        return builder
    with _alone(make_folder(data_dir, "config.data.data_dir"), builder.name):
        if builder.data_path.exists():  # another process has finished it in the meantime
            return make_builder(data_dir, **settings)
        builder.beam_runner = beam_runner or None
        builder.download_and_prepare(download_config=tfds.download.DownloadConfig(beam_runner=builder.beam_runner))
        builder.report()  # made once, from what was written
    return builder


@contextlib.contextmanager
def _alone(data_dir: Path, name: str):
    """While the block runs, no other process builds this dataset in this folder."""
    path = data_dir / f"{name}.lock"
    while True:
        with path.open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                print(f"prepare {name}: another process builds it; waiting", file=sys.stderr, flush=True)
                fcntl.flock(file, fcntl.LOCK_EX)
            if _is_at(path, file):  # else the last process that held it has removed it
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
    """Hides messages of TFDS: it announces a download that does not happen, warns of configs made at run time, and
    shows bars for every shard. The builders print one line of progress on stderr."""
    import tensorflow_datasets as tfds  # here, because it takes a second to import; a wrong name is reported before

    tfds.disable_progress_bar()
    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.set_verbosity(verbosity)
