"""workdir/config.json: what a run was started with, and whether a later command means the same run."""

import json
from collections.abc import Iterable
from pathlib import Path

from contextloc_jax.core.errors import InputError
from contextloc_jax.core.files import make_folder, read_json, write_whole

# What scores depend on beside the parameters; the rest may differ between training and evaluation.
SCORING_KEYS = ("model.", "data.num_classes", "data.snippet_stride", "data.snippet_length", "data.num_bins")


def flatten(config: dict, prefix: str = "") -> dict:
    """Nested configuration -> {'model.graph_width': 512, ...} with JSON values."""
    flat = {}
    for key, value in config.items():
        if hasattr(value, "items"):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = list(value) if isinstance(value, tuple) else value
    return flat


def check_same(saved: dict, current: dict, where: str, keys: Iterable[str] = ("",)) -> None:
    """Raises InputError naming every flat key (of the given prefixes) whose value differs."""
    prefixes = tuple(keys)
    names = [name for name in sorted(saved.keys() | current.keys()) if name.startswith(prefixes)]
    differing = [
        f"{name} is {current.get(name)!r}, there {saved.get(name)!r}"
        for name in names
        if current.get(name) != saved.get(name)
    ]
    if differing:
        raise InputError(
            f"{where} was made with another config: {'; '.join(differing)}; match it or use a new --workdir"
        )


def claim_workdir(workdir: str | Path, current: dict) -> None:
    """Writes config.json, or checks that the one there is the same.

    A run that has saved no checkpoint yet left nothing to protect: it starts anew with `current`, so that a fixed
    mistake (a batch size that does not divide, a missing file) is not held against the user.
    """
    path = Path(workdir) / "config.json"
    begun = any(folder.name.isdecimal() for folder in path.parent.glob("checkpoints/*"))
    if begun and path.exists():
        check_same(read_json(path), current, str(workdir))
    else:
        make_folder(path.parent)
        write_whole(path, (json.dumps(current, indent=2, sort_keys=True) + "\n").encode())
