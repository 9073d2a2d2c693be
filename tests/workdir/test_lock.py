"""One run trains in a workdir, and a second is told of it."""

import os
import signal
import subprocess
import sys

import pytest

from contextloc_jax.core.errors import InputError
from contextloc_jax.workdir.lock import locked

HOLDER = """
import sys, time
from contextloc_jax.workdir.lock import locked
with locked(sys.argv[1]):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that trains in tmp_path."""
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_a_second_run_is_told_of_the_first(tmp_path, holder):
    before = (tmp_path / "train.lock").read_text()
    with (
        pytest.raises(InputError, match=rf"^--workdir=.*another run trains there \(process {holder.pid} on .*$"),
        locked(tmp_path),
    ):
        pass
    assert (tmp_path / "train.lock").read_text() == before


def test_a_run_that_was_killed_holds_nothing(tmp_path, holder):
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    with locked(tmp_path):
        assert str(os.getpid()) in (tmp_path / "train.lock").read_text()


def test_one_run_after_the_other_is_fine(tmp_path):
    for _ in range(2):
        with locked(tmp_path / "run"):
            pass


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(InputError, match=r"^--workdir=[^\n]*cannot write there \([^\n]*\); choose another folder$"),
        locked(tmp_path / "file" / "run"),
    ):
        pass
