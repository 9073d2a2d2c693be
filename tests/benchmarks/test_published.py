"""The benchmarks' copy of the published settings."""

from benchmarks import published
from tests.helpers.published import WEIGHTS, published_model


def test_benchmarks_measure_the_published_setting():
    assert published.published_model(20) == published_model(20)
    assert published.WEIGHTS == WEIGHTS
