"""How the host keeps memory between steps."""

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -4, -8  # of glibc's malloc.h


def keep_freed_memory() -> None:
    """Tells glibc to keep freed blocks for the next step. With another C library, it does nothing.

    By default, large blocks go back to the kernel at once. A step on a CPU allocates nearly a gigabyte, so the kernel
    would zero the same pages again for every step (docs/performance.md). Call this before jax starts its threads.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    for parameter, value in ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, -1), (_M_ARENA_MAX, 1)):
        mallopt(parameter, value)
