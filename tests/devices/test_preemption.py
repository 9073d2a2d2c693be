"""SIGTERM: at once, or when what must be saved is saved."""

import subprocess
import sys

import pytest

SCRIPT = """
import contextlib, io, os, signal
from contextloc_jax.devices.preemption import StopSignal
listener = StopSignal()
listener.alone = {alone}
held = listener.held() if {held} else contextlib.nullcontext()
with held, contextlib.redirect_stdout(io.StringIO()):  # as some libraries' output is kept away
    os.kill(os.getpid(), signal.SIGTERM)
print("requested", listener.requested)
"""


@pytest.mark.parametrize(
    "alone, held, said",
    [(True, True, "requested True"), (False, False, "requested True"), (True, False, "stopped by SIGTERM")],
)
def test_a_signal_waits_for_what_is_to_be_saved_and_for_other_processes(alone, held, said):
    """Otherwise it ends the process at once, and in order."""
    command = [sys.executable, "-c", SCRIPT.format(alone=alone, held=held)]
    process = subprocess.run(command, capture_output=True, text=True)
    assert process.returncode == 0 and process.stdout.startswith(said) and not process.stderr
