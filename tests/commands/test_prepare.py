"""Prepare hands the workdir to the inputs."""

from contextloc_jax.commands.prepare import prepare
from tests.helpers.tiny_runs import TinyInputs, tiny_settings


def test_prepare_builds_the_dataset(tmp_path):
    inputs = TinyInputs(tiny_settings())
    prepare(str(tmp_path), inputs)
    assert inputs.prepared == [str(tmp_path)]
