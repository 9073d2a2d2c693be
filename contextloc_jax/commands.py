"""What each --mode does, from a configuration to files in the workdir.

`inputs` is input_pipeline.factories, handed in by main.py: this package never imports TensorFlow, and a benchmark can
hand in arrays instead.
"""

import os
from collections.abc import Callable

from contextloc_jax import factories, run_config
from contextloc_jax.checkpoint import Checkpoints, like
from contextloc_jax.errors import InputError
from contextloc_jax.evaluate import measure, write_results
from contextloc_jax.parallel import Parallel
from contextloc_jax.predict import Predictor
from contextloc_jax.scalar_log import ScalarLog
from contextloc_jax.train import initial_state, make_train_step
from contextloc_jax.train import train as run_training


def prepare(config, workdir: str, inputs) -> None:
    """Builds the dataset where it is absent."""
    inputs.prepare_dataset(config, workdir)


def train(config, workdir: str, inputs, make_writer: Callable[[str], object]) -> None:
    """Trains or resumes, then evaluates the best checkpoint; on a finished workdir it only evaluates.

    make_writer: workdir -> a TensorBoard-like writer (anything with write_scalars(step, scalars)).
    """
    flat_config = run_config.flatten(config)
    factories.check_values(config)
    model, weights = factories.make_model(config), factories.make_loss_weights(config)
    parallel = Parallel(config.parallel)
    parallel.check_batch_size(config.batch_size)
    run_config.claim_workdir(workdir, flat_config)
    data = inputs.open_training_data(config, inputs.prepare_dataset(config, workdir))
    steps_per_epoch = inputs.steps_per_epoch(config, data.train)
    schedule = factories.make_schedule(config, steps_per_epoch)
    optimizer, learning_rate = factories.make_optimizer(config, steps_per_epoch)

    _, example = next(iter(inputs.train_batches(config, data, 0, 1)))
    state = initial_state(model, optimizer, example, config.seed)
    checkpoints = Checkpoints(workdir, config.keep_checkpoints)
    if checkpoints.latest is not None:
        state = like(state, checkpoints.restore(checkpoints.latest))
        print(f"resuming at step {int(state.step)} of {schedule.num_steps}")
    if state.step < schedule.num_steps:
        run_training(
            parallel=parallel,
            step_function=make_train_step(model, optimizer, learning_rate, weights, config.seed),
            state=state,
            batches=inputs.train_batches(config, data, int(state.step), schedule.num_steps),
            describe=lambda videos: ", ".join(data.train.records[index].video_id for index in videos),
            schedule=schedule,
            writer=ScalarLog(workdir, int(state.step), make_writer(workdir)),
            evaluate=_validation(config, inputs, data, parallel, model),
            checkpoints=checkpoints,
            about={
                "config": flat_config,
                "regression_stats": data.regression_stats.tolist(),
                "class_names": data.train.class_names,
            },
            profile_dir=os.path.join(workdir, "profile") if config.profile else None,
        )
    evaluate(config, workdir, inputs, "best")


def evaluate(config, workdir: str, inputs, checkpoint: str) -> None:
    """Restores a checkpoint ('best', 'latest' or a step) and evaluates it on the test split."""
    factories.check_values(config)
    checkpoints = Checkpoints(workdir, read_only=True)
    step = checkpoints.resolve(checkpoint)
    about, state = checkpoints.about(step), checkpoints.restore(step)
    where = f"{workdir}: checkpoint {step}"
    run_config.check_same(about["config"], run_config.flatten(config), where, run_config.SCORING_KEYS)
    builder = inputs.prepare_dataset(config, workdir)
    source = inputs.open_test_data(config, builder)
    if about["class_names"] not in (None, source.class_names):
        raise InputError(f"{where} knows the classes {about['class_names']}, the data {source.class_names}")
    stats = about["regression_stats"]
    if stats is None:  # imported from a file without them
        stats = inputs.open_training_data(config, builder).regression_stats
    variables = {name: state.get(name, {}) for name in ("params", "batch_stats")}
    parallel = Parallel(config.parallel)
    predictor = Predictor(parallel, factories.make_model(config))
    batches = inputs.evaluation_batches(config, source, parallel.num_devices)
    scores = list(predictor(variables, batches, inputs.video_facts(source), stats))
    print(f"checkpoint {step}, {len(scores)} test videos")
    settings = factories.make_detection_settings(config)
    title = f"ContextLoc on {config.data.dataset}"
    write_results(workdir, scores, inputs.ground_truth(source), settings, source.identity, title)


def _validation(config, inputs, data, parallel: Parallel, model) -> Callable[[dict], float | None]:
    """variables -> average mAP on the held-out part of the training videos; None where none is held out."""
    source = data.validation
    if source is None:
        return lambda variables: None
    predictor, facts, truth = Predictor(parallel, model), inputs.video_facts(source), inputs.ground_truth(source)
    batches = inputs.evaluation_batches(config, source, parallel.num_devices)
    # A file of class scores is about the test videos.
    settings = factories.make_detection_settings(config)._replace(class_scores="")

    def average_map(variables: dict) -> float:
        scores = list(predictor(variables, batches, facts, data.regression_stats))
        return measure(scores, truth, settings)["average_mAP"]

    return average_map
