"""A line of progress with the time left, for anything that takes more than a few seconds."""

import sys
import time


class Progress:
    """Progress on stderr: on a terminal, one line that is rewritten; in a log, a new line every LOG_SECONDS at most.

    `total` and `done` count the parts of the job, such as steps or videos. With `quiet`, nothing is printed (for all
    processes except the first). A job that takes less than `after_seconds` prints nothing either.
    """

    LOG_SECONDS = 10.0
    BURST_SECONDS = 0.2  # updates that follow each other faster than this are measured together

    def __init__(self, name: str, total: int, done: int = 0, quiet: bool = False, after_seconds: float = 0.0):
        self._name, self._total, self._done, self._quiet = name, total, done, quiet
        self._terminal = sys.stderr.isatty()
        self._last_print = 0.0
        self._mark = (time.monotonic(), done)
        self._silent_until = self._mark[0] + after_seconds
        self.steps_per_second = 0.0

    def restart_clock(self, done: int) -> None:
        """Measures the speed from now and `done` on; the time since the last update (an evaluation) is left out."""
        self._mark = (time.monotonic(), done)

    def advance(self) -> None:
        """Counts one more part as done."""
        self.update(self._done + 1)

    def update(self, done: int, **values: float) -> None:
        """Shows that `done` parts are done, and `values` with their names."""
        self._done = done
        now = time.monotonic()
        elapsed = now - self._mark[0]
        if elapsed > self.BURST_SECONDS or not self.steps_per_second:
            if done > self._mark[1]:
                latest = (done - self._mark[1]) / max(elapsed, 1e-9)
                # The first measurement includes compilation, so the newest counts as much as all earlier ones together.
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
        """Prints `text` on its own line, between updates."""
        if not self._quiet:
            print(("\x1b[2K" if self._terminal else "") + text, file=sys.stderr, flush=True)


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds + 0.5), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
