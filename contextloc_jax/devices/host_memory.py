"""How the host keeps memory between steps."""

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -4, -8  # of glibc's malloc.h


def keep_freed_memory() -> None:
    """Tells glibc to keep freed blocks for the next step; does nothing where the C library is another.

    By default large blocks go back to the kernel at once, so that every step on a CPU, which allocates nearly a
    gigabyte, has the same pages zeroed for it again (docs/performance.md). To be called before jax starts its threads.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    for parameter, value in ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, -1), (_M_ARENA_MAX, 1)):
        mallopt(parameter, value)
