"""Every run of the tests draws the same examples and compiles a program once, also for its subprocesses."""

import os
import tempfile

import pytest
from hypothesis import settings

settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")

# Before jax is imported: it reads these when it is.
_CACHE = tempfile.TemporaryDirectory(prefix="compiled-")
os.environ["JAX_COMPILATION_CACHE_DIR"] = _CACHE.name
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.3"


@pytest.fixture(autouse=True, scope="session")
def compilation_cache():
    """Removes the cache in the end."""
    yield
    _CACHE.cleanup()


@pytest.fixture(scope="module")
def quick_compiler():
    """Programs of a module are compiled without optimisation, in about half the time; they are small enough."""
    import jax

    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)
