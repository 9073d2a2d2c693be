"""main.py as a user starts it: a process of its own, and what it says."""

import os
import subprocess
import sys
import time
from collections.abc import Callable

from tests.helpers.paths import ROOT

SHOULDER, CUSTOM = "--config=configs/shoulder.py", "--config=configs/custom.py"
# Three steps with a small model, on all of shoulder's sessions.
FEW_STEPS = ("--config.num_epochs=1", "--config.visits_per_epoch=1", "--config.model.context_width=8",
             "--config.model.graph_width=8")  # fmt: skip
ONE_RUN = "--config.refit=False"


def run_main(*arguments, **environment) -> subprocess.CompletedProcess:
    """The ended process, in the repository's root; environment: variables beside this process's."""
    command = [sys.executable, "main.py", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=os.environ | environment, timeout=300)


def started_until(ready: Callable[[], bool], *arguments, patience_seconds: float = 120) -> subprocess.Popen:
    """A running process in the repository's root, returned as soon as `ready()`, it has ended, or patience has."""
    command = [sys.executable, "main.py", *map(str, arguments)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    end = time.monotonic() + patience_seconds
    while process.poll() is None and time.monotonic() < end and not ready():
        time.sleep(0.02)
    return process


def assert_one_line(process, code: int, *parts: str) -> None:
    """Exit code, and a last line that starts with error: and says it all; before it only what went on."""
    assert process.returncode == code, process.stderr
    assert "Traceback" not in process.stderr + process.stdout
    *before, line = process.stderr.splitlines()
    assert not before, before
    assert line.startswith("error: " if code == 1 else "usage error: ")
    for part in parts:
        assert part in line
