"""Runs of main.py whose accuracy is measured.

A finished run is not repeated, so a sweep can be stopped and started again.
"""

import json
import subprocess
import sys
from pathlib import Path


def metrics_of(workdir: Path, *flags: str) -> dict:
    """metrics.json of the run with these flags. If it does not exist, main.py runs first. Runs in sibling folders share
    their prepared data."""
    metrics = workdir / "metrics.json"
    if not metrics.exists():
        print(workdir.name, flush=True)
        where = [f"--workdir={workdir}", f"--config.data.data_dir={workdir.parent / 'tfds'}"]
        if subprocess.run([sys.executable, "main.py", *flags, *where]).returncode:
            raise SystemExit(f"error: the run in {workdir} failed; its message is above")
    return json.loads(metrics.read_text())


def seed_list(text: str) -> list[int]:
    """'0,1,2' -> [0, 1, 2], for argparse."""
    return [int(seed) for seed in text.split(",")]
