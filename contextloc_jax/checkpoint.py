"""Orbax checkpoints: the newest ones and the best, each with all a run needs to go on or to be evaluated.

A checkpoint holds two items: `state` (arrays: step, params, batch_stats, opt_state) and `about` (JSON: regression
statistics, class names, config, a digest of the parameters, so that silently damaged arrays are noticed).
"""

import hashlib
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers as policies

from contextloc_jax.errors import InputError

METRIC = "average_mAP"


class Checkpoints:
    """The checkpoints under workdir/checkpoints."""

    def __init__(self, workdir: str | Path, keep_last: int = 2, read_only: bool = False):
        self.directory = Path(workdir).resolve() / "checkpoints"

        def metric(metrics):
            return metrics[METRIC]

        best = policies.BestN(get_metric_fn=metric, n=1, keep_checkpoints_without_metrics=False)
        options = ocp.CheckpointManagerOptions(
            best_fn=metric,
            preservation_policy=policies.AnyPreservationPolicy([policies.LatestN(keep_last), best]),
            create=not read_only,
            read_only=read_only,
        )
        if read_only and not self.directory.is_dir():
            raise InputError(f"{self.directory}: no checkpoints here; train first, or point --workdir at a trained run")
        self._manager = ocp.CheckpointManager(self.directory, options=options)

    def save(self, step: int, state: Any, about: dict, metric: float | None) -> None:
        """Starts saving a host tree; returns before it is on disk. `metric`: validation mAP, None where not measured."""
        about = about | {"digest": digest(state)}
        items = ocp.args.Composite(state=ocp.args.StandardSave(state), about=ocp.args.JsonSave(about))
        self._manager.save(step, args=items, metrics=None if metric is None else {METRIC: metric})

    def wait(self) -> None:
        """Returns when everything saved is on disk."""
        self._manager.wait_until_finished()

    def resolve(self, which: str) -> int:
        """'best', 'latest' or a step number -> a step that exists. Without a measured best, the latest counts."""
        steps = self._manager.all_steps()
        if not steps:
            raise InputError(f"{self.directory}: holds no finished checkpoint; train first, or point --workdir at a trained run")
        if which == "latest":
            return max(steps)
        if which == "best":
            best = self._manager.best_step()
            return max(steps) if best is None else best
        if not which.isdigit() or int(which) not in steps:
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
        """Regression statistics, class names and config of a checkpoint."""
        return self._manager.restore(step, args=ocp.args.Composite(about=ocp.args.JsonRestore()))["about"]

    def restore(self, step: int) -> Any:
        """The state of a checkpoint as nested dicts of NumPy arrays, its digest verified."""
        path = self.directory / str(step) / "state"
        with ocp.PyTreeCheckpointer() as reader:
            tree = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), reader.metadata(path).item_metadata.tree)
            state = reader.restore(path, restore_args=tree)
        if digest(state) != self.about(step)["digest"]:
            raise InputError(f"{path}: arrays differ from what was saved; use another checkpoint (--checkpoint=latest|STEP)")
        return state


def digest(state: Any) -> str:
    """sha256 over the names and bytes of a tree's arrays."""
    total = hashlib.sha256()
    leaves = {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in jax.tree.leaves_with_path(state)}
    for name in sorted(leaves):
        total.update(name.encode())
        total.update(np.ascontiguousarray(leaves[name]).tobytes())
    return total.hexdigest()
