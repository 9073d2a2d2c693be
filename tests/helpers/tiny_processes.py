"""A tiny run (tiny_runs.py) as one of several processes, in which things go wrong when told to.

MEETING=HOST:PORT,N,I [EVENT=NAME,PROCESS,STEP] python -m tests.helpers.tiny_processes WORKDIR
EVENT before that step's batch:
term or kill send the signal to the process, input raises an InputError, bug another exception.
"""

import os
import signal
import sys

from contextloc_jax.commands.train import train
from contextloc_jax.core.errors import InputError
from contextloc_jax.devices import processes
from contextloc_jax.devices.preemption import StopSignal
from tests.helpers.tiny_runs import SilentWriter, TinyInputs, tiny_settings


def happens(name: str) -> None:
    match name:
        case "term":
            os.kill(os.getpid(), signal.SIGTERM)
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "input":
            raise InputError("the features of video 7 are gone")
        case "bug":
            raise LookupError("a bug")


def main(workdir: str) -> None:
    coordinator, num_processes, process_id = os.environ["MEETING"].split(",")
    name, process, at_step = os.environ.get("EVENT", "none,-1,-1").split(",")

    def change(step, batch):
        if process_id == process and step == int(at_step):
            happens(name)
        return batch

    with processes.together(coordinator, int(num_processes), int(process_id)):
        settings = tiny_settings(batch_size=8, visits_per_epoch=8)
        inputs = TinyInputs(settings, change)
        train(settings, workdir, inputs, SilentWriter, StopSignal())
        print(f"process {process_id} took the steps {inputs.steps}")


if __name__ == "__main__":
    main(sys.argv[1])
