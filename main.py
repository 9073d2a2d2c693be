"""contextloc_jax on the command line: train, evaluate, prepare, predict and more (see README.md).

python main.py --config=configs/shoulder.py --workdir=runs/shoulder
"""

import os
import sys

# Before TensorFlow and jax are imported: TensorFlow is used for input only, and quietly.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

from absl import app, flags, logging
from ml_collections import config_flags

from contextloc_jax.errors import InputError

MODES = ("train", "evaluate", "prepare")
FLAGS = flags.FLAGS
config_flags.DEFINE_config_file("config", None, "A file of configs/, e.g. configs/shoulder.py.", lock_config=True)
flags.DEFINE_enum("mode", "train", MODES, "What to do.")
flags.DEFINE_string("workdir", None, "Where results are written and read.", required=True)
flags.DEFINE_string("checkpoint", "best", "Which checkpoint to restore: best, latest or a step.")


def train(config, workdir: str) -> None:
    """Trains (or resumes), then evaluates the chosen checkpoint on the test split."""
    from clu import metric_writers

    from contextloc_jax import factories, run_config
    from contextloc_jax.checkpoint import Checkpoints, like
    from contextloc_jax.evaluate import measure
    from contextloc_jax.parallel import Parallel
    from contextloc_jax.predict import Predictor
    from contextloc_jax.scalar_log import ScalarLog
    from contextloc_jax.train import initial_state, make_train_step
    from contextloc_jax.train import train as run_training
    from input_pipeline import factories as inputs

    flat_config = run_config.flatten(config.to_dict())
    run_config.claim_workdir(workdir, flat_config)
    parallel = Parallel(config.parallel)
    parallel.check_batch_size(config.batch_size)
    builder = inputs.prepare_dataset(config, workdir)
    data = inputs.open_training_data(config, builder)
    steps_per_epoch = inputs.steps_per_epoch(config, data.train)
    schedule = factories.make_schedule(config, steps_per_epoch)
    model = factories.make_model(config)
    optimizer, learning_rate = factories.make_optimizer(config, steps_per_epoch)
    settings = factories.make_detection_settings(config)
    checkpoints = Checkpoints(workdir, config.keep_checkpoints)

    _, example = next(iter(inputs.train_batches(config, data, 0, 1)))
    state = initial_state(model, optimizer, example, config.seed)
    if checkpoints.latest is not None:
        state = like(state, checkpoints.restore(checkpoints.latest))
    start_step = int(state.step)
    predictor = Predictor(parallel, model)

    def validate(variables) -> float | None:
        if data.validation is None:
            return None
        batches = inputs.evaluation_batches(config, data.validation, parallel.num_devices)
        scores = list(predictor(variables, batches, inputs.video_facts(data.validation), data.regression_stats))
        return measure(scores, inputs.ground_truth(data.validation), settings)["average_mAP"]

    if start_step < schedule.num_steps:
        run_training(
            parallel=parallel,
            step_function=make_train_step(
                model, optimizer, learning_rate, factories.make_loss_weights(config), config.seed
            ),
            state=state,
            batches=inputs.train_batches(config, data, start_step, schedule.num_steps),
            describe=lambda videos: ", ".join(data.train.records[index].video_id for index in videos),
            schedule=schedule,
            writer=ScalarLog(workdir, start_step, metric_writers.SummaryWriter(workdir)),
            evaluate=validate,
            checkpoints=checkpoints,
            about={
                "config": flat_config,
                "regression_stats": data.regression_stats.tolist(),
                "class_names": data.train.class_names,
            },
        )
    evaluate(config, workdir)


def evaluate(config, workdir: str) -> None:
    """Restores a checkpoint and evaluates it on the test split."""
    import numpy as np

    from contextloc_jax import factories, run_config
    from contextloc_jax.checkpoint import Checkpoints
    from contextloc_jax.evaluate import write_results
    from contextloc_jax.parallel import Parallel
    from contextloc_jax.predict import Predictor
    from input_pipeline import factories as inputs

    checkpoints = Checkpoints(workdir, read_only=True)
    step = checkpoints.resolve(FLAGS.checkpoint)
    about, state = checkpoints.about(step), checkpoints.restore(step)
    run_config.check_same(
        about["config"], run_config.flatten(config.to_dict()), f"checkpoint {step}", run_config.SCORING_KEYS
    )
    source = inputs.open_test_data(config, inputs.prepare_dataset(config, workdir))
    parallel = Parallel(config.parallel)
    batches = inputs.evaluation_batches(config, source, parallel.num_devices)
    variables = {"params": state["params"], "batch_stats": state["batch_stats"]}
    predictor = Predictor(parallel, factories.make_model(config))
    stats = np.array(about["regression_stats"])
    scores = list(predictor(variables, batches, inputs.video_facts(source), stats))
    print(f"checkpoint {step}: {len(scores)} videos of people or places never trained on")
    write_results(
        workdir,
        scores,
        inputs.ground_truth(source),
        factories.make_detection_settings(config),
        source.identity,
        title=f"ContextLoc on {config.data.dataset}",
    )


def prepare(config, workdir: str) -> None:
    """Builds the dataset."""
    from input_pipeline import factories as inputs

    inputs.prepare_dataset(config, workdir)


def main(arguments: list[str]) -> None:
    if len(arguments) > 1:
        raise app.UsageError(f"{arguments[1]!r} is not a flag; every argument starts with --")
    if FLAGS.config is None:
        raise app.UsageError(f"--mode={FLAGS.mode} needs --config=configs/NAME.py")
    logging.set_verbosity(logging.ERROR)  # libraries' advice to their own developers
    mode = {"train": train, "evaluate": evaluate, "prepare": prepare}[FLAGS.mode]
    try:
        mode(FLAGS.config, FLAGS.workdir)
    except InputError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    app.run(main)
