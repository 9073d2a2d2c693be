"""SIGTERM, with which clusters announce that a machine will be taken away: training saves first and exits with 0."""

import contextlib
import os
import signal


class Stopped(Exception):
    """The run ended early, in order, because it was asked to; not an error."""


class StopSignal:
    """Listens to SIGTERM from when it is made. `requested` tells the training loop and evaluations, which stop in
    order; one process by itself ends there and then while there is nothing to save, outside `held`.
    """

    def __init__(self):
        self.requested = False
        self.alone = True  # several processes can only stop together
        self._held = False
        signal.signal(signal.SIGTERM, self._receive)

    def _receive(self, number, frame) -> None:
        self.requested = True
        if self.alone and not self._held:  # an exception might be swallowed by whatever is being called
            print("stopped by SIGTERM; everything worth keeping is saved", flush=True)
            os._exit(0)

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

    requested = alone = False
    held = contextlib.nullcontext


NO_SIGNAL = _NoSignal()
