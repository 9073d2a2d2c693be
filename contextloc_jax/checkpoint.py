"""Orbax checkpoints: the newest ones and the best, each with all a run needs to go on or to be evaluated.

A checkpoint holds two items: `state` (arrays: step, params, batch_stats, opt_state) and `about` (JSON: regression
statistics, class names, config, and a digest of everything, so that silent damage is noticed).
"""

import contextlib
import hashlib
import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from flax import traverse_util
from orbax.checkpoint import checkpoint_managers as policies

from contextloc_jax.errors import InputError

METRIC = "average_mAP"
USE_ANOTHER = "use another checkpoint (--checkpoint=latest|STEP)"


class Checkpoints:
    """The checkpoints under workdir/checkpoints."""

    def __init__(self, workdir: str | Path, keep_last: int = 2, read_only: bool = False):
        self.directory = Path(workdir).resolve() / "checkpoints"

        def metric(metrics):
            return metrics.get(METRIC, -np.inf)

        best = policies.BestN(get_metric_fn=metric, n=1, keep_checkpoints_without_metrics=False)
        options = ocp.CheckpointManagerOptions(
            best_fn=metric,
            preservation_policy=policies.AnyPreservationPolicy([policies.LatestN(keep_last), best]),
            create=not read_only,
            read_only=read_only,
        )
        if read_only and not self.directory.is_dir():
            raise InputError(f"{self.directory}: no checkpoints here; train first, or point --workdir at a trained run")
        with _damage_is_one_line(self.directory, "move the folder of the damaged step away"):
            self._manager = ocp.CheckpointManager(self.directory, options=options)

    def save(self, step: int, state: Any, about: dict, metric: float | None) -> None:
        """Starts saving a host tree; returns before it is on disk. metric: validation mAP, None where not measured."""
        state = nested_arrays(state)
        about = about | {"digest": digest(state, about)}
        items = ocp.args.Composite(state=ocp.args.StandardSave(state), about=ocp.args.JsonSave(about))
        self._manager.save(step, args=items, metrics=None if metric is None else {METRIC: metric})

    def wait(self) -> None:
        """Returns when everything saved is on disk."""
        self._manager.wait_until_finished()

    def resolve(self, which: str) -> int:
        """'best', 'latest' or a step number -> a step that exists. Without a measured best, the latest counts."""
        steps = self._manager.all_steps()
        if not steps:
            raise InputError(
                f"{self.directory}: holds no finished checkpoint; train first, or point --workdir at a trained run"
            )
        if which == "latest":
            return max(steps)
        if which == "best":
            best = self._manager.best_step()
            return max(steps) if best is None else best
        if not which.isdecimal() or int(which) not in steps:
            raise InputError(
                f"--checkpoint={which}: not in {self.directory}; expected best, latest or one of {sorted(steps)}"
            )
        return int(which)

    @property
    def latest(self) -> int | None:
        return self._manager.latest_step()

    def metric(self, step: int) -> float | None:
        """The validation mAP a checkpoint was saved with."""
        metrics = self._manager.metrics(step)
        return metrics[METRIC] if metrics else None

    def about(self, step: int) -> dict:
        """Regression statistics, class names and config of a checkpoint. InputError: damaged."""
        with _damage_is_one_line(self.directory / str(step) / "about"):
            return dict(self._manager.restore(step, args=ocp.args.Composite(about=ocp.args.JsonRestore()))["about"])

    def restore(self, step: int) -> dict:
        """The state of a checkpoint as nested dicts of NumPy arrays, its digest verified. InputError: damaged."""
        path = self.directory / str(step) / "state"
        with _damage_is_one_line(path), ocp.PyTreeCheckpointer() as reader:
            leaves = reader.metadata(path).item_metadata.tree
            as_numpy = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), leaves)
            state = reader.restore(path, restore_args=as_numpy)
        about = self.about(step)
        if about.pop("digest", None) != digest(state, about):
            raise InputError(f"{path.parent}: differs from what was saved; {USE_ANOTHER}")
        return state


@contextlib.contextmanager
def _damage_is_one_line(path: Path, mend: str = USE_ANOTHER):
    """Orbax meets a lost, cut or changed file with whatever that leads to, bare Exceptions among them."""
    try:
        yield
    except Exception as error:
        raise InputError(f"{path}: damaged, cannot be read ({type(error).__name__}); {mend}") from error


def nested_arrays(tree: Any) -> dict:
    """Any tree -> nested dicts of NumPy arrays, keyed by field, key or position: what a checkpoint stores."""
    return traverse_util.unflatten_dict(
        {_path(path): np.asarray(leaf) for path, leaf in jax.tree.leaves_with_path(tree)}
    )


def like(example: Any, nested: dict) -> Any:
    """The tree of `example` with the arrays of `nested_arrays`. InputError where names or shapes differ."""
    found = traverse_util.flatten_dict(nested)
    expected = {_path(path): np.shape(leaf) for path, leaf in jax.tree.leaves_with_path(example)}
    differing = [
        f"{'/'.join(path)} {np.shape(found[path]) if path in found else 'absent'} vs {expected.get(path, 'absent')}"
        for path in sorted(found.keys() | expected.keys())
        if path not in found or np.shape(found[path]) != expected.get(path)
    ]
    if differing:
        raise InputError(f"the checkpoint does not fit the model (saved vs expected shape): {'; '.join(differing)}")
    return jax.tree.map_with_path(lambda path, _: found[_path(path)], example)


def digest(nested: dict, about: dict) -> str:
    """sha256 over the names, types, shapes and bytes of nested arrays, and over what is said about them."""
    total = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for path, array in sorted(traverse_util.flatten_dict(nested).items()):
        total.update(f"{path}{array.dtype.name}{array.shape}".encode())
        total.update(np.ascontiguousarray(array).tobytes())
    return total.hexdigest()


def _path(path) -> tuple[str, ...]:
    return tuple(jax.tree_util.keystr((entry,), simple=True) for entry in path)
