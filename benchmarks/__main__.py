"""Every benchmark in one table, and as JSON where BENCH_JSON names a file (make bench).

python -m benchmarks [CASE ...]      single cases; in the file of BENCH_JSON they replace the same cases

This process imports neither jax nor NumPy, because on Linux the peak memory of a child starts from that of its parent.
"""

import importlib.util
import json
import os
import subprocess
import sys

from benchmarks.table import header, row
from benchmarks.useful_work import SIZES

MODULES = {
    **dict.fromkeys(SIZES, "model_speed"),
    **dict.fromkeys(("map_74k", "nms_74k", "map_1m"), "evaluation"),
    **dict.fromkeys(("train_page_cache", "train_in_memory", "evaluation", "step_loop"), "pipeline"),
    "startup_shoulder": "startup",
}
DATASETS = ("tensorflow", "tensorflow_datasets", "ml_collections")
NEEDED = {"pipeline": DATASETS, "startup": (*DATASETS, "clu", "seglearn")}


def main(cases: list[str]) -> int:
    """Runs the cases and returns the exit code: 1 if a case failed."""
    if unknown := [case for case in cases if case not in MODULES]:
        sys.exit(f"error: there is no case {unknown[0]!r}; expected one of {', '.join(MODULES)}")
    path, failed = os.environ.get("BENCH_JSON"), False
    results = load(path) if path and cases else {}
    print("\n".join(header()), flush=True)
    for case in cases or MODULES:
        found = measure(case)
        failed |= "failed" in found
        if why := found.get("failed") or found.get("skipped"):
            print(f"{case}: {why}", file=sys.stderr, flush=True)
            continue
        results[case] = found
        print(row(case, found), flush=True)
        if path:
            with open(path, "w") as file:
                json.dump({name: results[name] for name in MODULES if name in results}, file, indent=2)
    return int(failed)


def measure(case: str) -> dict:
    """The result of a case, which runs in its own process; {'skipped': why} or {'failed': why} if there is none."""
    module = MODULES[case]
    if missing := [name for name in NEEDED.get(module, ()) if not importlib.util.find_spec(name)]:
        return {"skipped": f"skipped, {missing[0]} is not installed"}
    command = [sys.executable, "-m", "benchmarks.child", module, case]
    child = subprocess.run(command, capture_output=True, text=True)
    if child.returncode:
        return {"failed": f"failed with exit code {child.returncode}\n{child.stderr}"}
    return json.loads(child.stdout.splitlines()[-1])


def load(path: str) -> dict:
    if not os.path.exists(path):
        return {}
    with open(path) as file:
        return json.load(file)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
