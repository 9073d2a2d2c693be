"""The mode prepare: builds the dataset where it is absent and says what its files hold."""

from typing import Any

from contextloc_jax.commands.inputs import Inputs
from contextloc_jax.devices import processes


def prepare(workdir: str, inputs: Inputs) -> Any:
    """Leaves data_report.json in workdir; returns the prepared dataset. The first process builds, others find it."""
    return processes.first_before_others(lambda: inputs.prepare(workdir))
