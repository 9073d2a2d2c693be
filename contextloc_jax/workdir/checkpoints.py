"""Orbax checkpoints: the newest ones and the best. Each holds all that a run needs to resume or to be evaluated.

A checkpoint has two items: `state` (arrays: step, params, batch_stats, opt_state) and `about` (JSON: regression
statistics, class names, config, validation mAP, and digests of everything, which reveal damage). The position in the
data and all random keys follow from config.seed and the step.
"""

import contextlib
import functools
import hashlib
import json
import logging
import os
import shutil
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp
from flax import traverse_util

from contextloc_jax.core.errors import InputError

USE_ANOTHER = "use another checkpoint (--checkpoint=latest|STEP)"
WEIGHTS = ("params", "batch_stats")


class Damaged(InputError):
    """A checkpoint cannot be read, or differs from what was saved."""


class Restored(NamedTuple):
    """A checkpoint in memory: `state` as nested dicts of NumPy arrays, `about` without its digests."""

    step: int
    state: dict
    about: dict


class Checkpoints:
    """The checkpoints in workdir/checkpoints. Reading needs no permission to write, and works while another process
    saves. Only one process saves."""

    writes = True

    def __init__(self, workdir: str | Path, keep_last: int = 1):
        self.directory = Path(workdir).resolve() / "checkpoints"
        self._keep_last = keep_last
        self._metrics: dict[int, float | None] = {}

    def steps(self) -> list[int]:
        """The steps of all checkpoints, also damaged ones, oldest first. Orbax renames a folder to its step when it is
        complete."""
        return sorted(int(path.name) for path in self.directory.glob("*") if path.name.isdecimal())

    @property
    def latest(self) -> int | None:
        return max(self.steps(), default=None)

    def restore(self, which: str, names: Collection[str] | None = None, strict: bool = False) -> Restored:
        """Reads a checkpoint.

        which: 'best' (by validation mAP; the latest if none was measured), 'latest' or a step number.
        names: the parts of the state to read, such as WEIGHTS; None: all.
        If 'best' or 'latest' is damaged, a warning is printed, and the next best or the one before is used. With a step
        number or `strict`, Damaged is raised instead. InputError: there is no such checkpoint.
        """
        if which not in ("best", "latest"):
            return self._read(self._numbered(which), names)
        for number, step in enumerate(self._order(which, strict)):
            try:
                found = self._read(step, names)
            except Damaged as error:
                if strict:
                    raise Damaged(f"{error} (or leave out --strict_restore)") from None
                _warn(str(error))
            else:
                if number:
                    _warn(f"using checkpoint {step} of {self.directory} instead")
                return found
        raise Damaged(
            f"{self.directory}: no checkpoint can be read; restore them from a copy, or start a new --workdir"
        )

    def _numbered(self, which: str) -> int:
        steps = self._existing()
        if not which.isdecimal() or int(which) not in steps:
            raise InputError(f"--checkpoint={which}: not in {self.directory}; expected best, latest or one of {steps}")
        return int(which)

    def _existing(self) -> list[int]:
        if not self.directory.is_dir():
            raise InputError(f"{self.directory}: no checkpoints here; train first, or point --workdir at a trained run")
        if steps := self.steps():
            return steps
        raise InputError(
            f"{self.directory}: holds no finished checkpoint; train first, or point --workdir at a trained run"
        )

    def _order(self, which: str, strict: bool) -> list[int]:
        """The steps to try: first the one that `which` means, then those that can replace it."""
        newest_first = self._existing()[::-1]
        if which == "latest":
            return newest_first

        def rank(step: int) -> float:
            try:
                metric = self.about(step)["metric"]
            except Damaged as error:
                if strict:
                    raise
                _warn(f"{error}; it might have been the best")
                return -np.inf
            return -np.inf if metric is None else metric

        return sorted(newest_first, key=rank, reverse=True)  # stable: among equal ones, the newest first

    def about(self, step: int) -> dict:
        """The item `about` of a checkpoint, with its digests. Raises Damaged."""
        path = self.directory / str(step) / "about"
        with _damage_is_one_line(path):
            about = ocp.JsonCheckpointHandler().restore(path)
            said = {key: value for key, value in about.items() if key != "digests"}
            intact = about["digests"]["about"] == digest({}, said)
        if not intact:
            raise Damaged(f"{path.parent}: differs from what was saved; {USE_ANOTHER}")
        return about

    def _read(self, step: int, names: Collection[str] | None) -> Restored:
        about, path = self.about(step), self.directory / str(step) / "state"
        digests = about.pop("digests")
        wanted = [name for name in digests if name != "about" and (names is None or name in names)]
        with _damage_is_one_line(path):
            handler = ocp.PyTreeCheckpointHandler(multiprocessing_options=_this_process())
            leaves = handler.metadata(path).tree
            target = {name: leaves[name] for name in wanted}
            as_numpy = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), target)
            state = handler.restore(path, args=ocp.args.PyTreeRestore(target, as_numpy, partial_restore=True))
        if any(digest({name: state[name]}) != digests[name] for name in wanted):
            raise Damaged(f"{path.parent}: differs from what was saved; {USE_ANOTHER}")
        return Restored(step, state, about)

    def save(self, step: int, state: Any, about: dict, metric: float | None) -> None:
        """Starts to save a tree of host arrays, and returns before it is on disk.

        metric: validation mAP; None if it was not measured. A checkpoint of the same step is replaced.
        InputError: this save or an earlier one failed.
        """
        state = nested_arrays(state)
        about = about | {"metric": metric}
        digests = {"about": digest({}, about)} | {name: digest({name: part}) for name, part in state.items()}
        items = ocp.args.Composite(
            state=ocp.args.StandardSave(state), about=ocp.args.JsonSave(about | {"digests": digests})
        )
        with self._failure_is_one_line():
            if step in self.steps():
                self.wait()
                self._manager.delete(step)
            self._metrics[step] = metric
            self._manager.save(step, args=items)

    def wait(self) -> None:
        """Waits until everything saved is on disk. InputError: a save failed."""
        if "_manager" in vars(self):
            with self._failure_is_one_line():
                self._manager.wait_until_finished()

    def set_aside_after(self, step: int) -> None:
        """Renames all newer checkpoints, which are damaged: a run that resumes at `step` saves these steps again."""
        for newer in [found for found in self.steps() if found > step]:
            aside = self.directory / f"damaged_{newer}"
            shutil.rmtree(aside, ignore_errors=True)
            os.replace(self.directory / str(newer), aside)
            _warn(f"{self.directory / str(newer)} was renamed to {aside.name}")

    @functools.cached_property
    def _manager(self) -> ocp.CheckpointManager:
        for step in self.steps():
            with contextlib.suppress(Damaged):
                self._metrics[step] = self.about(step)["metric"]
        options = ocp.CheckpointManagerOptions(
            preservation_policy=_NewestAndBest(self._keep_last, self._metrics),
            multiprocessing_options=_this_process(),
            create=False,
        )
        self.directory.mkdir(parents=True, exist_ok=True)
        return ocp.CheckpointManager(self.directory, options=options)

    @contextlib.contextmanager
    def _failure_is_one_line(self):
        """Turns a failed save (a full disk, ...) into an InputError. Orbax raises exceptions of many types."""
        _quieten_abandoned_work()
        try:
            yield
        except InputError:
            raise
        except Exception as error:
            raise InputError(
                f"{self.directory}: a checkpoint could not be saved ({_one_line(error)}); the last good one is "
                f"{self.latest or 'none'}; make room or fix the folder, then run the same command again"
            ) from error


class _NewestAndBest:
    """Which checkpoints Orbax keeps: the newest `count`, and the one with the highest metric."""

    def __init__(self, count: int, metrics: dict[int, float | None]):
        self._count, self._metrics = count, metrics

    def should_preserve(self, checkpoints, *, context) -> list[bool]:
        del context
        steps = [checkpoint.step for checkpoint in checkpoints]
        measured = [(self._metrics[step], step) for step in steps if self._metrics.get(step) is not None]
        kept = {*sorted(steps)[-self._count :], *(step for _, step in sorted(measured)[-1:])}
        return [step in kept for step in steps]


def _this_process() -> ocp.options.MultiprocessingOptions:
    """Tells Orbax not to wait for other processes: all have the same state, so one of them reads and writes."""
    index = jax.process_index()
    return ocp.options.MultiprocessingOptions(primary_host=index, active_processes={index})


def _warn(text: str) -> None:
    print(f"warning: {text}", file=sys.stderr, flush=True)


def _one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


@functools.cache
def _quieten_abandoned_work() -> None:
    """Hides messages from other threads after a failure. Orbax reads and writes many arrays at once, and those still
    running then report that their event loop is closed."""
    shown = sys.unraisablehook

    def hook(unraisable) -> None:
        if str(unraisable.exc_value) != "Event loop is closed":
            shown(unraisable)

    sys.unraisablehook = hook
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)


@contextlib.contextmanager
def _damage_is_one_line(path: Path):
    """Turns any exception into Damaged. Orbax raises many types, even bare Exception, for a lost, cut or changed
    file."""
    _quieten_abandoned_work()
    try:
        yield
    except Exception as error:
        raise Damaged(f"{path}: damaged, cannot be read ({type(error).__name__}); {USE_ANOTHER}") from error


def nested_arrays(tree: Any) -> dict:
    """Any tree -> nested dicts of NumPy arrays, keyed by field, key or position: the form that a checkpoint stores."""
    return traverse_util.unflatten_dict(
        {_path(path): np.asarray(leaf) for path, leaf in jax.tree.leaves_with_path(tree)}
    )


def like(example: Any, nested: dict) -> Any:
    """A tree like `example`, with the arrays of `nested` (from `nested_arrays`). InputError: names or shapes differ."""
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


def digest(nested: dict, about: dict | None = None) -> str:
    """SHA-256 (hex) over the names, types, shapes and bytes of nested arrays, and over `about`."""
    total = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for path, array in sorted(traverse_util.flatten_dict(nested).items()):
        total.update(f"{path}{array.dtype.name}{array.shape}".encode())
        total.update(np.ascontiguousarray(array).tobytes())
    return total.hexdigest()


def _path(path) -> tuple[str, ...]:
    return tuple(jax.tree_util.keystr((entry,), simple=True) for entry in path)
