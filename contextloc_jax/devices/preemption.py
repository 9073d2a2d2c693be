"""SIGTERM: clusters send it before they take a machine away. Training then saves its state and exits with 0."""

import contextlib
import os
import signal
import sys


class Stopped(Exception):
    """The run was asked to stop, and ended early in an orderly way. This is not an error."""


class StopSignal:
    """Listens for SIGTERM from the moment when it is made.

    The training loop and evaluations read `requested`, and stop in an orderly way. Outside `held` there is nothing to
    save, so a single process exits as soon as the signal arrives.
    """

    def __init__(self):
        self.requested = False
        self.alone = True  # False for several processes, which can only stop together
        self._held = False
        signal.signal(signal.SIGTERM, self._receive)

    def _receive(self, number, frame) -> None:
        self.requested = True
        if self.alone and not self._held:  # exits without an exception, which the running code might catch
            # Not to sys.stdout, because the running code may have redirected it.
            print("stopped by SIGTERM; nothing was left to save", file=sys.__stdout__, flush=True)
            os._exit(0)

    @contextlib.contextmanager
    def held(self):
        """Marks a block that has something to save before the process may end."""
        self._held = True
        try:
            yield self
        finally:
            self._held = False


class _NoSignal:
    """Used in place of a StopSignal where SIGTERM is not handled."""

    requested = alone = False
    held = contextlib.nullcontext


NO_SIGNAL = _NoSignal()
