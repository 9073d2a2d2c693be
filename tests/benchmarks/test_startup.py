"""How long the quickstart takes to its first step."""

import pytest


@pytest.mark.slow
def test_the_start_is_timed():
    from benchmarks.startup import measure

    found = measure("startup_shoulder", runs=1)
    assert 0 < found["seconds"] < found["first_seconds"] and found["peak_gigabytes"] > 0.3
