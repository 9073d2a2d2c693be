"""Measures one case in its own process, so that its peak memory is measured: python -m benchmarks.child MODULE CASE

The last line of the output is the result as JSON.
"""

import importlib
import json
import os
import sys
import tempfile

from benchmarks.host import peak_gigabytes
from contextloc_jax.devices.host_memory import keep_freed_memory


def main() -> None:
    module, case = sys.argv[1:]
    keep_freed_memory()  # as main.py does
    with tempfile.TemporaryDirectory() as folder:  # an empty cache, so that the first compilation is a full one
        os.environ["JAX_COMPILATION_CACHE_DIR"] = folder
        os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
        found = importlib.import_module(f"benchmarks.{module}").measure(case)
    if "skipped" not in found:
        found.setdefault("peak_gigabytes", peak_gigabytes())
    print(json.dumps(found))


if __name__ == "__main__":
    main()
