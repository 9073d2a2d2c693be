"""Seconds from `python main.py` to the end of the first training step on `shoulder`.

startup_shoulder  seconds: median of three runs, with prepared data and with programs in the persistent compilation
                  cache; first_seconds: of the run before them, which prepares the data and compiles
"""

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.host import peak_gigabytes

ROOT = Path(__file__).parent.parent
PATIENCE_SECONDS = 300


def measure(case: str, runs: int = 3) -> dict[str, float]:
    """Runs main.py in new processes, each in a new workdir, and ends each after its first step."""
    del case
    with tempfile.TemporaryDirectory() as folder:
        first, *others = [seconds_to_first_step(Path(folder), f"run{run}") for run in range(runs + 1)]
    return {
        "seconds": statistics.median(others),
        "first_seconds": first,
        "peak_gigabytes": peak_gigabytes(resource.RUSAGE_CHILDREN),
    }


def seconds_to_first_step(folder: Path, name: str) -> float:
    """Seconds until the scalars of step 1 are logged. All runs share folder/tfds and folder/cache."""
    workdir = folder / name
    logged = [workdir / "scalars.jsonl", workdir / "selection" / "scalars.jsonl"]  # the latter with config.refit
    flags = ["--config=configs/shoulder.py", f"--workdir={workdir}", f"--config.data.data_dir={folder / 'tfds'}"]
    command = [sys.executable, "main.py", *flags, "--config.log_every=1"]
    environment = os.environ | {"JAX_COMPILATION_CACHE_DIR": str(folder / "cache")}
    environment.pop("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", None)
    start = time.perf_counter()
    with (folder / f"{name}.log").open("w+") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
        try:
            while not any(path.exists() and path.stat().st_size for path in logged):
                if process.poll() is not None or time.perf_counter() - start > PATIENCE_SECONDS:
                    log.seek(0)
                    raise RuntimeError(f"no step was logged by {' '.join(command)}\n{log.read()}")
                time.sleep(0.01)
            return time.perf_counter() - start
        finally:
            process.terminate()
            process.wait()
