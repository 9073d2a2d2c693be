"""contextloc_jax on the command line: train, evaluate, score, fuse and more (README.md shows them all).

contextloc --config=shoulder --workdir=runs/shoulder
"""

import os
import sys
from pathlib import Path
from types import ModuleType

# Must be set before TensorFlow is imported. TensorFlow only reads the input, and should print little.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

from absl import app, flags, logging
from ml_collections import config_flags
from ml_collections.config_flags.config_flags import ConfigFileFlagParser

from contextloc_jax.commands import score
from contextloc_jax.commands.compare import compare
from contextloc_jax.commands.fuse import fuse
from contextloc_jax.core.errors import InputError, refusals_are_one_line
from contextloc_jax.devices.host_memory import keep_freed_memory
from contextloc_jax.devices.preemption import Stopped, StopSignal

PACKAGE = Path(__file__).resolve().parent
# The shipped configurations lie inside an installed package, but beside the package in a checkout.
SHIPPED = PACKAGE / "configs" if (PACKAGE / "configs").is_dir() else PACKAGE.parent / "configs"

FLAGS = flags.FLAGS
TOGETHER = ("coordinator", "num_processes", "process_id")
MODES = {  # the flags that a mode needs, and those that it may have, beside --workdir, --config and --checkpoint
    "train": (("config",), ("strict_restore", *TOGETHER)),
    "evaluate": (("config",), ("strict_restore", *TOGETHER)),
    "prepare": (("config",), ()),
    "predict": (("config",), ("strict_restore", *TOGETHER)),
    "import_torch": (("config", "torch_checkpoint"), ()),
    "export_torch": (("torch_checkpoint",), ()),
    "score": (("detections", "annotations", "protocol"), ("subset",)),
    "compare": (("runs",), ("protocol",)),
    "fuse": (("streams",), ("protocol", "class_scores", "class_top_k")),
}


class ConfigParser(ConfigFileFlagParser):
    """Reads --config=NAME[:variant] of a shipped configuration, or --config=FILE[:variant]."""

    def parse(self, text: str):
        """The configuration. ValueError: there is no file of this name, or it is not a configuration."""
        name, *variant = text.split(":", 1)
        file = find_config(name)
        make_configs_importable(file.resolve().parent)
        try:
            config = super().parse(":".join([str(file), *variant]))
            _ = config and config.keys  # the parser reports an unreadable file only when its result is first used
        except OSError as error:
            raise ValueError(str(error).splitlines()[-1]) from None
        except (AttributeError, ImportError, LookupError, SyntaxError) as error:
            raise ValueError(
                f"{type(error).__name__}: {error}; expected a Python file whose get_config() returns the settings"
            ) from None
        return config


config_flags.DEFINE_config_file(
    "config", None, "A configuration, NAME[:variant] or FILE[:variant]: shoulder, thumos14:flow, configs/shoulder.py."
)
FLAGS["config"].parser = ConfigParser("config", lock_config=True)
flags.DEFINE_enum("mode", "train", list(MODES), "What to do.")
flags.DEFINE_string("workdir", None, "The folder of the run: results are written there.", required=True)
flags.DEFINE_string("checkpoint", "best", "Which checkpoint to restore: best, latest or a step.")
flags.DEFINE_bool("strict_restore", None, "Refuse a damaged checkpoint instead of using the one before.")
flags.DEFINE_string("coordinator", None, "Several processes: HOST:PORT of process 0; not needed on a cluster.")
flags.DEFINE_integer("num_processes", None, "Several processes: how many there are.", lower_bound=1)
flags.DEFINE_integer("process_id", None, "Several processes: the number of this one, from 0.", lower_bound=0)
flags.DEFINE_string("torch_checkpoint", None, "import_torch reads this file, export_torch writes it: .pth or .pth.tar.")
flags.DEFINE_string("detections", None, "score: a file of detections, ActivityNet's .json or .csv.")
flags.DEFINE_string("annotations", None, "score: a file of annotations, ActivityNet's JSON or THUMOS14's flat form.")
flags.DEFINE_string("protocol", None, "score, compare, fuse: thumos14 or activitynet.")
flags.DEFINE_string("subset", None, "score: the annotated subset to evaluate (default: what the protocol evaluates).")
flags.DEFINE_string("runs", None, "compare: two evaluated or scored workdirs, A,B.")
flags.DEFINE_string("streams", None, "fuse: evaluated workdirs with weights, rgb=DIR:1,flow=DIR:1.2.")
flags.DEFINE_string("class_scores", None, "fuse: video-level class scores, a .json or .npy file, or 'oracle'.")
flags.DEFINE_integer(
    "class_top_k", None, "fuse: how many classes of a video are kept, the best by --class_scores; 0: all.", 0
)


def entry() -> None:
    """What `contextloc` and `python main.py` run."""
    for flag in FLAGS.flags_by_module_dict()[__name__]:
        FLAGS.register_key_flag_for_module(sys.argv[0], flag)  # --help shows the flags of the program
    program = sys.modules["__main__"]
    program.__doc__ = program.__doc__ or __doc__  # shown by --help; the script of an installed package has no docstring
    app.run(main, flags_parser=parse)


def main(arguments: list[str]) -> None:
    """Runs the mode that the flags choose. arguments: the program, then the arguments that are not flags."""
    check_flags(FLAGS.mode, arguments[1:])
    logging.set_verbosity(logging.FATAL)  # hides logs that libraries write for developers; errors are printed below
    try:
        run(FLAGS.mode)
    except InputError as error:
        sys.exit(f"error: {error}")
    except Stopped as stopped:
        print(stopped)


# From the command line to flags that fit their mode


def parse(arguments: list[str]) -> list[str]:
    """Parses the flags as absl does, but reports a mistake in one line, with exit code 2."""
    try:
        return FLAGS(arguments)
    except (AttributeError, KeyError) as error:  # ml_collections raises them for --config.no_such_key=...
        while error.args and isinstance(error.args[0], Exception):
            error = error.args[0]
        refuse(f"--config.KEY=VALUE: the configuration has no such key: {error.args[0] if error.args else error}")
    except flags.Error as error:
        first, *more = str(error).splitlines()  # more: a traceback, whose last line says what is wrong
        refuse(" ".join([first, *more[-1:]]))


def check_flags(mode: str, rest: list[str]) -> None:
    """Refuses a command line whose flags do not fit its mode."""
    if rest:
        refuse(f"{rest[0]!r} is not a flag: every argument starts with --")
    needed, optional = MODES[mode]
    for name in needed:
        if FLAGS[name].value in (None, ""):
            refuse(f"--mode={mode} needs --{name}: {FLAGS[name].help.removeprefix(f'{mode}: ')}")
    for name in sorted({name for both in MODES.values() for flag_names in both for name in flag_names} - {"config"}):
        if name not in (*needed, *optional) and FLAGS[name].value is not None:
            refuse(f"--{name} is not for --mode={mode}")


def refuse(message: str) -> None:
    """Prints what is wrong with the command line, and ends the program with exit code 2."""
    print(f"usage error: {' '.join(message.split()).rstrip('.')}; --help lists all flags", file=sys.stderr)
    sys.exit(2)


# Configurations


def find_config(name: str) -> Path:
    """The file of the configuration `name`. ValueError: there is no such file.

    `name` is the name of a shipped configuration or the path of a file. The path configs/NAME.py also means the shipped
    configuration NAME, where there is no file of this path (outside a checkout).
    """
    shipped = {file.stem: file for file in sorted(SHIPPED.glob("*.py"))}
    if name in shipped:
        return shipped[name]
    if os.path.isfile(name):
        return Path(name)
    if name.startswith("configs/") and name.endswith(".py") and Path(name).stem in shipped:
        return SHIPPED / Path(name).name
    raise ValueError(f"there is no file {name!r} and no shipped configuration of that name ({', '.join(shipped)})")


def make_configs_importable(folder: Path) -> None:
    """Makes `from configs import default` work in a configuration file in `folder`.

    The package `configs` contains the files of `folder`, if that is called configs, and the shipped configurations. It
    exists only in this process: contextloc_jax installs no package `configs`, which could hide one of another project.
    """
    package = ModuleType("configs")
    package.__path__ = [str(place) for place in (folder, SHIPPED) if place.name == "configs"]
    sys.modules["configs"] = package


# From the flags to the mode. Slow imports are made only where a mode needs them.


def run(mode: str) -> None:
    """Runs a mode. Modes that read a dataset go to `run_on_dataset`."""
    workdir = FLAGS.workdir
    match mode:
        case "score":
            from input_pipeline.formats import annotations

            score.score(workdir, FLAGS.detections, FLAGS.annotations, FLAGS.protocol, FLAGS.subset, annotations)
        case "compare":
            compare(workdir, FLAGS.runs, FLAGS.protocol)
        case "fuse":
            fuse(workdir, FLAGS.streams, FLAGS.protocol, FLAGS.class_scores, FLAGS.class_top_k)
        case "import_torch":
            from contextloc_jax.commands.import_torch import import_torch

            import_torch(settings_of(FLAGS.config), workdir, FLAGS.torch_checkpoint)
        case "export_torch":
            from contextloc_jax.commands.export_torch import export_torch

            export_torch(workdir, FLAGS.checkpoint, FLAGS.torch_checkpoint)
        case _:
            run_on_dataset(mode, FLAGS.config, workdir)


def settings_of(config):
    """The settings of a configuration, all of them checked."""
    from contextloc_jax.commands.settings import read_settings
    from contextloc_jax.workdir.config_file import flatten

    return read_settings(flatten(config))


def run_on_dataset(mode: str, config, workdir: str) -> None:
    """Runs a mode that reads the dataset of a configuration. These modes import TensorFlow and jax."""
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", os.path.join(workdir, "compilation_cache"))
    keep_freed_memory()
    stop_signal = StopSignal() if mode == "train" else None  # before the imports, which take seconds
    settings = settings_of(config)
    from contextloc_jax.devices import processes
    from input_pipeline.inputs import Inputs

    inputs, strict_restore = Inputs(**settings.inputs._asdict()), bool(FLAGS.strict_restore)
    with processes.together(*(FLAGS[name].value for name in TOGETHER)), refusals_are_one_line():
        match mode:
            case "train":
                from clu.metric_writers import SummaryWriter

                from contextloc_jax.commands.train import train

                train(settings, workdir, inputs, SummaryWriter, stop_signal, strict_restore)
            case "evaluate":
                from contextloc_jax.commands.evaluate import evaluate

                evaluate(settings, workdir, inputs, FLAGS.checkpoint, strict_restore)
            case "predict":
                from contextloc_jax.commands.predict import predict

                predict(settings, workdir, inputs, FLAGS.checkpoint, strict_restore)
            case "prepare":
                from contextloc_jax.commands.prepare import prepare

                prepare(workdir, inputs)
