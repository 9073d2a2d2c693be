"""workdir/config.json: the configuration of a run, and the check that a later command means the same run.

config.json and every checkpoint hold a configuration in flat form: {'model.graph_width': 512, ...}.
"""

from collections.abc import Mapping
from pathlib import Path

from contextloc_jax.core.errors import InputError
from contextloc_jax.core.files import make_folder, read_json, write_json

# Prefixes of the keys that scores depend on, beside the parameters. They must be the same in training and evaluation.
SCORING_KEYS = ("model.", "data.num_classes", "data.snippet_stride", "data.snippet_length", "data.num_bins")
# Prefixes of the keys that do not change what is learned: how a run is evaluated, logged, stored and computed.
FREE_KEYS = (
    "detection.",
    "model.retrieval",
    "data.test_",
    "data.data_dir",
    "data.cache_gigabytes",
    "data.beam_runner",
    "log_every",
    "keep_checkpoints",
    "profile",
)


def flatten(config: Mapping, prefix: str = "") -> dict:
    """Nested configuration -> {'model.graph_width': 512, ...} with JSON values."""
    flat = {}
    for key, value in config.items():
        if hasattr(value, "items"):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = list(value) if isinstance(value, tuple) else value
    return flat


def check_same(saved: Mapping, current: Mapping, where: str, keys: tuple[str, ...] = ("",)) -> None:
    """InputError: a key differs. Only keys with these prefixes are compared, without FREE_KEYS; all are named.

    saved, current: flat configurations. where: what `saved` belongs to, for the message.
    """
    differing = [
        f"{name} is {current.get(name)!r}, expected {saved.get(name)!r}"
        for name in sorted(saved.keys() | current.keys())
        if name.startswith(keys) and not name.startswith(FREE_KEYS) and current.get(name) != saved.get(name)
    ]
    if differing:
        raise InputError(
            f"{where} was made with another config: {'; '.join(differing)}; use the same values, or a new --workdir"
        )


def claim_workdir(workdir: str | Path, current: dict) -> None:
    """Writes config.json. InputError: the workdir has a checkpoint of a run that learns something else.

    Without a checkpoint there is nothing to protect, so the run starts again with `current`. The user can correct a
    mistake (a batch size that the devices cannot share, a missing file) and use the same workdir.
    """
    path = Path(workdir) / "config.json"
    begun = any(folder.name.isdecimal() for folder in path.parent.glob("checkpoints/*"))
    if begun and path.exists():
        check_same(read_json(path), current, str(workdir))
    make_folder(path.parent)
    write_json(path, current)
