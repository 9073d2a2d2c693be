"""Every run of the tests draws the same examples, and compiles a program once for all its processes."""

import os
import tempfile

import pytest
from hypothesis import settings

settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")

# Before jax is imported, which reads these then. Workers of pytest-xdist and tests' subprocesses inherit the folder.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    _CACHE = tempfile.TemporaryDirectory(prefix="compiled-")  # removed when this process ends
    os.environ["JAX_COMPILATION_CACHE_DIR"] = _CACHE.name
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.3"


@pytest.fixture(scope="session")
def kept_runs(tmp_path_factory):
    """A folder for runs that several files of tests look at, so that a process trains each of them once."""
    return tmp_path_factory.mktemp("kept")


@pytest.fixture(scope="module")
def quick_compiler():
    """Programs of a module are compiled without optimization, in about half the time; they are small enough."""
    import jax

    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)
