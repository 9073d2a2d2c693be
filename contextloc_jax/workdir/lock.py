"""A lock that allows only one training run in a workdir. The kernel frees it when the process ends, even if killed."""

import contextlib
import fcntl
import os
import socket
from pathlib import Path

from contextloc_jax.core.errors import InputError
from contextloc_jax.core.files import make_folder

FILE_NAME = "train.lock"


@contextlib.contextmanager
def locked(workdir: str | Path):
    """Holds workdir/train.lock. InputError: another process holds it, or the folder cannot be written."""
    path = Path(workdir) / FILE_NAME
    make_folder(workdir)
    try:
        file = path.open("a+")
    except OSError as error:
        raise InputError(f"--workdir={workdir}: cannot write there ({error.strerror}); choose another folder") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            raise InputError(
                f"--workdir={workdir}: another run trains there ({file.read().strip()}); wait for it, stop it, or "
                "choose another folder; --mode=evaluate and --mode=predict may run beside it"
            ) from None
        file.truncate(0)
        print(f"process {os.getpid()} on {socket.gethostname()}", file=file, flush=True)
        yield
