"""What the C library does with freed memory."""

import platform
import subprocess
import sys

import pytest

SECOND_ALLOCATION = """
import resource
from contextloc_jax.devices.host_memory import keep_freed_memory
{call}
bytearray(2**26)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
bytearray(2**26)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="tells glibc alone")
def test_freed_memory_is_kept():
    """64 MiB have 16384 pages, or 32 huge ones, which a process is given once."""
    faults = [
        int(subprocess.check_output([sys.executable, "-c", SECOND_ALLOCATION.format(call=call)]))
        for call in ("keep_freed_memory()", "")
    ]
    assert faults[0] < 16 < faults[1]
