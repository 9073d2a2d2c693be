"""A line of progress with the time left, for anything that takes more than a few seconds."""

import sys
import time


class Progress:
    """One line, rewritten on a terminal; in a log, a new line at most every few seconds.

    `total` and `done` count steps, or whatever the job consists of. `quiet` prints nothing: for all processes but the
    first. A job that takes less than `after_seconds` prints nothing either.
    """

    LOG_SECONDS = 10.0
    BURST_SECONDS = 0.2  # what is done within so little time is measured together with what follows

    def __init__(self, name: str, total: int, done: int = 0, quiet: bool = False, after_seconds: float = 0.0):
        self._name, self._total, self._done, self._quiet = name, total, done, quiet
        self._terminal = sys.stderr.isatty()
        self._last_print = 0.0
        self._mark = (time.monotonic(), done)
        self._silent_until = self._mark[0] + after_seconds
        self.steps_per_second = 0.0

    def restart_clock(self, done: int) -> None:
        """Leaves what happened since the last update (steps up to `done`, an evaluation) out of the speed."""
        self._mark = (time.monotonic(), done)

    def advance(self) -> None:
        """One more is done."""
        self.update(self._done + 1)

    def update(self, done: int, **values: float) -> None:
        """Shows how far things are; values are shown by name."""
        self._done = done
        now = time.monotonic()
        elapsed = now - self._mark[0]
        if elapsed > self.BURST_SECONDS or not self.steps_per_second:
            if done > self._mark[1]:
                latest = (done - self._mark[1]) / max(elapsed, 1e-9)
                # The first measurement includes compilation, so the newest counts as much as all before it.
                self.steps_per_second = latest if not self.steps_per_second else (latest + self.steps_per_second) / 2
            self._mark = (now, done)
        finished = done >= self._total
        if self._quiet or now < self._silent_until:
            return
        if not (self._terminal or finished or now - self._last_print > self.LOG_SECONDS):
            return
        self._last_print = now
        left = (self._total - done) / max(self.steps_per_second, 1e-9)
        shown = [f"{name} {value:.4g}" for name, value in values.items()]
        line = "  ".join(
            [f"{self._name} {done}/{self._total}", *shown, f"{self.steps_per_second:.3g}/s", f"{_clock(left)} left"]
        )
        end = "\r" if self._terminal and not finished else "\n"
        print(("\x1b[2K" if self._terminal else "") + line, end=end, file=sys.stderr, flush=True)

    def note(self, text: str) -> None:
        """A line of its own between updates."""
        if not self._quiet:
            print(("\x1b[2K" if self._terminal else "") + text, file=sys.stderr, flush=True)


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds + 0.5), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
