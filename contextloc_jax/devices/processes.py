"""A run of several processes: how they start, exchange data and end together. With one process, this does nothing.

Messages between processes go through the key-value store of jax's coordination service (in process 0). Arrays go
through collectives of the devices. A process that fails writes the reason to the store before it exits. If a process is
killed, its heartbeats stop. In both cases the other processes end too: none waits forever for a collective.
"""

import contextlib
import itertools
import os
import pickle
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from contextloc_jax.core.errors import InputError
from contextloc_jax.devices.preemption import Stopped

MEETING_SECONDS = 60  # all processes must start within this time
HEARTBEAT_SECONDS = 20  # a process without a heartbeat for this time counts as dead
ONE_DAY_MS = 24 * 3600 * 1000
CLUSTERS = (("SLURM_STEP_NUM_TASKS", "SLURM_PROCID"), ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"))
_ENDED = "contextloc/ended"
_barriers = itertools.count()  # every process passes the same barriers in the same order


@contextlib.contextmanager
def together(coordinator: str | None = None, num_processes: int | None = None, process_id: int | None = None):
    """Joins the other processes of the run for the length of a `with` block.

    The flags say how; without them, the environment of a cluster (SLURM, Open MPI, TPU). Without both, this process
    runs alone. The block must begin before anything else asks for devices. If the block raises, this process prints
    the reason, ends all others, and exits (InputError: code 1; Stopped: code 0).
    """
    settings = meeting(coordinator, num_processes, process_id, os.environ, _on_tpu())
    if settings is None:
        yield
        return
    _meet(settings)
    done = threading.Event()
    threading.Thread(target=_end_with_others, args=(done,), daemon=True).start()
    try:
        yield
        barrier()
    except BaseException as error:
        if isinstance(error, jax.errors.JaxRuntimeError):
            time.sleep(3)  # if another process broke the collective, its message arrives now and ends this process
        done.set()
        _end_others(error)
    done.set()
    jax.distributed.shutdown()


def meeting(
    coordinator: str | None, num_processes: int | None, process_id: int | None, environment, on_tpu: bool
) -> dict | None:
    """The arguments of `jax.distributed.initialize`; None: this process is alone.

    On SLURM, Open MPI 4 and TPUs, jax finds the rest by itself. InputError: a flag is missing or wrong.
    """
    given = {"coordinator_address": coordinator, "num_processes": num_processes, "process_id": process_id}
    given = {name: value for name, value in given.items() if value is not None}
    for size, rank in CLUSTERS if len(given) < 3 else ():
        if int(environment.get(size, 1)) > 1:
            given = {"num_processes": int(environment[size]), "process_id": int(environment[rank])} | given
            if size.startswith("OMPI") and "OMPI_MCA_orte_hnp_uri" not in environment and coordinator is None:
                raise InputError("Open MPI 5 does not say where its first process is: add --coordinator=HOST:PORT")
            return given
    if not given:
        return {} if on_tpu else None
    missing = {"coordinator_address", "num_processes", "process_id"} - given.keys()
    if missing:
        names = ", ".join(f"--{name.removesuffix('_address')}" for name in sorted(missing))
        raise InputError(f"several processes need {names} as well, because no known cluster was found")
    if ":" not in coordinator or not 0 <= process_id < num_processes:
        raise InputError(
            f"--coordinator={coordinator} --num_processes={num_processes} --process_id={process_id}: expected "
            "HOST:PORT of process 0, and a process_id from 0 to num_processes - 1"
        )
    return given | {"cluster_detection_method": "deactivate"}


def _on_tpu() -> bool:
    """Whether this is a TPU VM whose TPU is to be used. jax finds out whether there are other hosts."""
    devices = [*Path("/dev").glob("accel*"), *Path("/dev").glob("vfio/*")]
    return bool(devices) and find_spec("libtpu") is not None and "tpu" in os.environ.get("JAX_PLATFORMS", "tpu")


def is_first() -> bool:
    """Whether this is process 0, the one that writes files."""
    return jax.process_index() == 0


def barrier() -> None:
    """Waits until every process has called it."""
    if jax.process_count() > 1:
        _client().wait_at_barrier(f"contextloc/{next(_barriers)}", ONE_DAY_MS)


def first_before_others(action: Callable[[], Any]) -> Any:
    """Runs action() in every process. The others begin when the first has finished, and find the files it made."""
    if not is_first():
        barrier()
        return action()
    result = action()
    barrier()
    return result


def from_first(action: Callable[[], Any]) -> Any:
    """Runs action() in the first process, and returns its result in every process. Only the first needs the files that
    it reads."""
    content = pickle.dumps(action()) if is_first() else b""
    if jax.process_count() == 1:
        return pickle.loads(content)
    barrier()  # waits longer than a collective would
    size = int(multihost_utils.broadcast_one_to_all(np.int32(len(content))))
    padded = np.frombuffer(content.ljust(-(-size // 4) * 4, b"\0"), np.int32)
    return pickle.loads(np.asarray(multihost_utils.broadcast_one_to_all(padded)).tobytes())


def gather(tree: Any) -> Any:
    """The arrays of all processes, concatenated along the first axis in the order of the processes. All get the
    result."""
    return tree if jax.process_count() == 1 else multihost_utils.process_allgather(tree, tiled=True)


def _client():
    from jax._src import distributed  # the only access to the coordination service; Orbax uses it too

    return distributed.global_state.client


def _meet(settings: dict) -> None:
    jax.config.update("jax_enable_preemption_service", False)  # it would take SIGTERM away from preemption.py
    if settings.get("process_id") and "coordinator_address" in settings:
        _reach(settings["coordinator_address"])  # jax would abort if process 0 did not answer
    try:
        jax.distributed.initialize(
            **settings, initialization_timeout=MEETING_SECONDS, heartbeat_timeout_seconds=HEARTBEAT_SECONDS
        )
    except (RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"the processes did not all start within {MEETING_SECONDS} s ({settings}): {reason}; start them again"
        ) from None


def _reach(coordinator: str) -> None:
    """Waits until process 0 listens. InputError: it does not within MEETING_SECONDS."""
    host, port = coordinator.rsplit(":", 1)
    deadline = time.monotonic() + MEETING_SECONDS
    while True:
        try:
            socket.create_connection((host, int(port)), timeout=5).close()
            return
        except (OSError, ValueError) as error:
            if time.monotonic() > deadline or isinstance(error, ValueError | socket.gaierror):
                raise InputError(
                    f"--coordinator={coordinator}: process 0 does not answer ({error}); start it within "
                    f"{MEETING_SECONDS} s, on that host and port"
                ) from None
            time.sleep(0.5)


def _end_with_others(done: threading.Event) -> None:
    """Waits until another process ends early, and then ends this one."""
    while not done.is_set():
        try:
            code, text = _client().blocking_key_value_get(_ENDED, ONE_DAY_MS).split(" ", 1)
        except Exception as error:
            if "DEADLINE_EXCEEDED" in str(error):
                continue
            code, text = "1", "process 0 is gone"
        if not done.wait(timeout=1):  # this process may be about to report its own end
            said = f"{'error: ' if int(code) else ''}process {jax.process_index()} ends because {text}"
            print(said, file=sys.stderr, flush=True)
            _exit(int(code))


def _end_others(error: BaseException) -> None:
    """Reports the error here and to the other processes, and ends this process."""
    index = jax.process_index()
    match error:
        case Stopped():
            code, text = 0, str(error)
        case InputError():
            code, text = 1, f"error: {error}"
        case SystemExit():
            code, text = error.code if isinstance(error.code, int) else 1, str(error.code)
        case jax.errors.JaxRuntimeError():
            reason = " ".join(str(error).split())[:300]
            code, text = 1, f"error: process {index}: {reason}; was another process killed?"
        case _:
            traceback.print_exception(error)
            code, text = 1, f"error: process {index} met a bug: {error!r}"
    print(text, file=sys.stderr if code else sys.stdout, flush=True)
    with contextlib.suppress(Exception):  # another process has set the key already
        _client().key_value_set(_ENDED, f"{code} process {index} ended: {text.removeprefix('error: ')}")
    if is_first():
        time.sleep(2)  # the store ends with this process; the others need time to read it
    _exit(code)


def _exit(code: int) -> None:
    """Exits at once. The usual shutdown of jax would wait for all processes."""
    sys.stdout.flush()
    os._exit(code)
