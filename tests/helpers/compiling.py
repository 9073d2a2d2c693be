"""jit for tests, most of whose time would otherwise be the compiler's."""

import jax


def quickly_compiled(function, **options):
    """jax.jit without optimization, in half the time: for tests of formulas rather than of compiled float32 code."""
    return jax.jit(function, compiler_options={"xla_backend_optimization_level": 0}, **options)
