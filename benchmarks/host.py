"""Seconds, memory and copy bandwidth of a process, without jax."""

import resource
import statistics
import sys
import time
from collections.abc import Callable

import numpy as np


def median_seconds(run: Callable[[], object], repeats: int) -> float:
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def peak_gigabytes(who: int = resource.RUSAGE_SELF) -> float:
    """The most memory this process, or the largest of its children, held so far; libraries included."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(who).ru_maxrss * unit / 1e9


def host_copy_rate(megabytes: int = 256) -> float:
    """Bytes read and written a second by one core that adds 1 to an array in place."""
    array = np.zeros(megabytes * 250_000, np.float32)
    return 2 * array.nbytes / median_seconds(lambda: np.add(array, 1, out=array), 5)
