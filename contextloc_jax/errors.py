"""The exception that means "the user's input is wrong", and disks that refuse, which are told in the same way."""

import contextlib
import errno

REFUSALS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO)


class InputError(Exception):
    """Bad input from outside: a file, a flag, a config value.

    The message is one line that says what was found, where (file and line, or video), what was expected and
    how to mend it. main.py prints it and exits 1; any other exception is a bug and keeps its traceback.
    """


@contextlib.contextmanager
def refusals_are_one_line():
    """A full, read-only or forbidden disk becomes an InputError, wherever it was met."""
    try:
        yield
    except OSError as error:
        if error.errno not in REFUSALS:
            raise
        raise InputError(
            f"{error.filename or 'a file'}: {error.strerror}; make room or choose another folder, then run the same "
            "command again: a training run goes on from its last checkpoint"
        ) from error
