"""A trace of a few training steps, for TensorBoard's profiler."""

import jax

PROFILED_STEPS = (4, 8)  # first and last traced step of a run; by then everything is compiled


class StepTrace:
    """Traces a few steps, if a folder for the trace is given."""

    def __init__(self, folder: str | None, first_step: int, num_steps: int):
        self._folder, self._first = folder, first_step + PROFILED_STEPS[0]
        self._last = min(first_step + PROFILED_STEPS[1], num_steps)

    def before(self, step: int) -> None:
        if self._folder is not None and step == self._first:
            jax.profiler.start_trace(self._folder)

    def after(self, step: int, state) -> None:
        if self._folder is not None and step == self._last >= self._first:
            jax.block_until_ready(state)
            jax.profiler.stop_trace()
