"""InputError, the exception for wrong input from the user; how its messages quote values; errors of the disk."""

import contextlib
import errno
import reprlib
from collections.abc import Iterable, Iterator

REFUSALS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO)
_excerpt = reprlib.Repr()
_excerpt.maxstring = _excerpt.maxother = 60


class InputError(ValueError):
    """Bad input from outside: a file, a flag, a config value, an argument.

    The message is one line that says what was found, where (file and line, or video), what was expected and
    how to fix it. The command line prints it and exits with 1; any other exception is a bug and keeps its traceback.
    """


def excerpt(value: object) -> str:
    """`value` for an error message, as one short line."""
    return _excerpt.repr(value)


def some_of(names: Iterable[str], most: int = 5) -> str:
    """The first `most` names in sorted order, for an error message; '...' shows that there are more."""
    names = sorted(names)
    return ", ".join(map(repr, names[:most])) + (", ..." if len(names) > most else "")


@contextlib.contextmanager
def refusals_are_one_line() -> Iterator[None]:
    """Turns the OSError of a full, read-only or forbidden disk into an InputError."""
    try:
        yield
    except OSError as error:
        if error.errno not in REFUSALS:
            raise
        raise InputError(
            f"{error.filename or 'a file'}: {error.strerror}; make room or choose another folder, then run the same "
            "command again: training continues from its last checkpoint"
        ) from error
