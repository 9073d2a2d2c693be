"""config.profile: the trace that TensorBoard's profiler opens."""

import jax
import jax.numpy as jnp

from contextloc_jax.training.step_trace import PROFILED_STEPS, StepTrace


def test_a_trace_of_a_few_steps_is_written(tmp_path):
    step = jax.jit(lambda x: x @ x)
    trace, x = StepTrace(str(tmp_path), 0, 20), jnp.ones((8, 8))
    for number in range(1, PROFILED_STEPS[1] + 1):
        trace.before(number)
        trace.after(number, step(x))
        assert bool(list(tmp_path.rglob("*"))) == (number == PROFILED_STEPS[1])
    (written,) = tmp_path.glob("plugins/profile/*/*.xplane.pb")
    assert written.stat().st_size > 1000
