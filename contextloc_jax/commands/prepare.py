"""The mode prepare: builds the dataset if it does not exist, and reports what its files hold."""

from typing import Any

from contextloc_jax.commands.inputs import Inputs
from contextloc_jax.devices import processes


def prepare(workdir: str, inputs: Inputs) -> Any:
    """Writes data_report.json to workdir, and returns the prepared dataset. The first process builds it for all."""
    return processes.first_before_others(lambda: inputs.prepare(workdir))
