"""workdir/config.json: what a run was started with, and whether a later command means the same run.

A configuration is kept flat: {'model.graph_width': 512, ...}, in config.json and in every checkpoint.
"""

from collections.abc import Mapping
from pathlib import Path

from contextloc_jax.core.errors import InputError
from contextloc_jax.core.files import make_folder, read_json, write_json

# Prefixes of the keys that scores depend on beside the parameters: they are the same in training and evaluation.
SCORING_KEYS = ("model.", "data.num_classes", "data.snippet_stride", "data.snippet_length", "data.num_bins")
# Prefixes of the keys that change nothing of what is learned: how a run is evaluated, logged, kept and computed.
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
    """InputError naming every flat key of these prefixes, but for FREE_KEYS, whose value differs."""
    differing = [
        f"{name} is {current.get(name)!r}, there {saved.get(name)!r}"
        for name in sorted(saved.keys() | current.keys())
        if name.startswith(keys) and not name.startswith(FREE_KEYS) and current.get(name) != saved.get(name)
    ]
    if differing:
        raise InputError(
            f"{where} was made with another config: {'; '.join(differing)}; match it or use a new --workdir"
        )


def claim_workdir(workdir: str | Path, current: dict) -> None:
    """Writes config.json. InputError: the run there has saved a checkpoint and learns something else.

    A run that has saved no checkpoint yet left nothing to protect: it starts anew with `current`, so that a corrected
    mistake (a batch size that does not divide, a missing file) is not held against the user.
    """
    path = Path(workdir) / "config.json"
    begun = any(folder.name.isdecimal() for folder in path.parent.glob("checkpoints/*"))
    if begun and path.exists():
        check_same(read_json(path), current, str(workdir))
    make_folder(path.parent)
    write_json(path, current)
