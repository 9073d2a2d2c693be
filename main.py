"""contextloc_jax on the command line: train, evaluate, prepare and more (README.md shows them all).

python main.py --config=configs/shoulder.py --workdir=runs/shoulder
"""

import os
import sys

# Before TensorFlow and jax are imported: TensorFlow only feeds the input, quietly.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

from absl import app, flags, logging
from ml_collections import config_flags

from contextloc_jax.errors import InputError

FLAGS = flags.FLAGS
MODES = ("train", "evaluate", "prepare")
config_flags.DEFINE_config_file("config", None, "A file of configs/, e.g. configs/shoulder.py.", lock_config=True)
flags.DEFINE_enum("mode", "train", MODES, "What to do.")
flags.DEFINE_string("workdir", None, "The folder of the run: results are written there.", required=True)
flags.DEFINE_string("checkpoint", "best", "Which checkpoint to restore: best, latest or a step.")


def run(mode: str) -> None:
    """Imports what the mode needs, and no more, and runs it."""
    from contextloc_jax import commands
    from input_pipeline import factories as inputs

    config, workdir = FLAGS.config, FLAGS.workdir
    match mode:
        case "train":
            from clu.metric_writers import SummaryWriter

            commands.train(config, workdir, inputs, SummaryWriter)
        case "evaluate":
            commands.evaluate(config, workdir, inputs, FLAGS.checkpoint)
        case "prepare":
            commands.prepare(config, workdir, inputs)


def main(arguments: list[str]) -> None:
    if len(arguments) > 1:
        raise app.UsageError(f"{arguments[1]!r} is no flag: every argument starts with --")
    if FLAGS.config is None:
        raise app.UsageError(f"--mode={FLAGS.mode} needs --config=configs/NAME.py")
    logging.set_verbosity(logging.ERROR)  # libraries' advice to developers
    try:
        run(FLAGS.mode)
    except InputError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    app.run(main)
