"""SIGTERM, with which clusters announce that a machine will be taken away: training saves first and exits with 0."""

import contextlib
import signal


class Stopped(Exception):
    """The run ended early, in order, because it was asked to; not an error."""


class StopSignal:
    """Listens to SIGTERM from when it is made. Outside `held` the signal ends the program there and then, since all
    that is worth keeping is on disk; inside, `requested` becomes True and the training loop decides when to stop."""

    def __init__(self):
        self.requested = False
        self._held = False
        signal.signal(signal.SIGTERM, self._receive)

    def _receive(self, number, frame) -> None:
        self.requested = True
        if not self._held:
            raise Stopped("stopped by SIGTERM; the same command goes on")

    @contextlib.contextmanager
    def held(self):
        """For as long as there is something to save first."""
        self._held = True
        try:
            yield self
        finally:
            self._held = False


class _NoSignal:
    """Stands for a StopSignal where nobody listens."""

    requested = False
    held = contextlib.nullcontext


NO_SIGNAL = _NoSignal()
