"""Seconds, memory and copy bandwidth of a process, without jax."""

import resource
import statistics
import sys
import time
from collections.abc import Callable

import numpy as np


def seconds_of(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def median_seconds(run: Callable[[], object], repeats: int) -> float:
    return statistics.median(seconds_of(run) for _ in range(repeats))


def peak_gigabytes(who: int = resource.RUSAGE_SELF) -> float:
    """The most memory that this process, or the largest of its children, has held so far; libraries included."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(who).ru_maxrss * unit / 1e9


def host_copy_rate(megabytes: int = 256) -> float:
    """Bytes that one core reads and writes per second when it adds 1 to an array in place."""
    array = np.zeros(megabytes * 250_000, np.float32)
    return 2 * array.nbytes / median_seconds(lambda: np.add(array, 1, out=array), 5)


def beside_copying(seconds: float, moved_bytes: float, copy_rate: float) -> dict[str, float]:
    """The result of a case that takes `seconds`. Its floor is to move its bytes, at copy_rate bytes per second."""
    return {
        "seconds": seconds,
        "moved_gigabytes": moved_bytes / 1e9,
        "copy_gigabytes_per_second": copy_rate / 1e9,
        "floor_seconds": moved_bytes / copy_rate,
        "fraction_of_floor": moved_bytes / copy_rate / seconds,
    }
