"""What each --mode does, from a configuration to files in the workdir.

`inputs` is input_pipeline.factories, handed in by main.py: this package never imports TensorFlow, and a benchmark can
hand in arrays instead.
"""

import contextlib
import dataclasses
import functools
import os
from collections.abc import Callable

import jax

from contextloc_jax.commands import settings
from contextloc_jax.commands.results import measure, write_detections, write_results
from contextloc_jax.core.errors import InputError
from contextloc_jax.core.files import make_folder
from contextloc_jax.core.progress import Progress
from contextloc_jax.core.structs import VideoScores
from contextloc_jax.devices import processes
from contextloc_jax.devices.inference import Predictor
from contextloc_jax.devices.parallel import Parallel
from contextloc_jax.devices.preemption import NO_SIGNAL, StopSignal
from contextloc_jax.localization.class_scores import check_not_oracle
from contextloc_jax.localization.decode import detect
from contextloc_jax.localization.initial import smallest_batch
from contextloc_jax.training.lookahead import retrieved
from contextloc_jax.training.loop import train as run_training
from contextloc_jax.training.step import initial_state, make_train_step
from contextloc_jax.workdir import config_file, lock
from contextloc_jax.workdir.checkpoints import WEIGHTS, Checkpoints, Restored, like
from contextloc_jax.workdir.scalar_log import ScalarLog


def prepare(config, workdir: str, inputs) -> None:
    """Builds the dataset where it is absent."""
    _prepared(config, workdir, inputs)


def train(
    config,
    workdir: str,
    inputs,
    make_writer: Callable[[str], object],
    stop_signal: StopSignal = NO_SIGNAL,
    strict_restore: bool = False,
) -> None:
    """Trains or resumes, then evaluates the best checkpoint; on a finished workdir it only evaluates.

    make_writer: workdir -> a TensorBoard-like writer (anything with write_scalars(step, scalars)).
    stop_signal: where it was heard, the run ends early with everything saved, by raising Stopped.
    strict_restore: refuse a damaged checkpoint instead of going on from the one before.
    """
    flat_config = config_file.flatten(config)
    settings.check_values(config)
    model, weights = settings.make_model(config), settings.make_loss_weights(config)
    parallel, stop_signal.alone = Parallel(config.parallel), jax.process_count() == 1
    parallel.check_batch_size(config.batch_size, config.gradient_accumulation)
    with _first_run_of(workdir, flat_config):
        builder = _prepared(config, workdir, inputs)
        data = inputs.open_training_data(config, builder)
        fit = functools.partial(
            _fit,
            config,
            model=model,
            weights=weights,
            inputs=inputs,
            parallel=parallel,
            make_writer=make_writer,
            stop_signal=stop_signal,
            strict_restore=strict_restore,
        )
        num_epochs = config.num_epochs
        if config.refit:
            selection = os.path.join(workdir, "selection")
            make_folder(selection)
            num_epochs = fit(selection, data, num_epochs)
            data = inputs.open_training_data(config, builder, hold_out=False)
            _say(
                f"best on the held-out videos: epoch {num_epochs}; now so many on all {len(data.train)} training videos"
            )
        fit(workdir, data, num_epochs)
        checkpoint = _restore(config, workdir, "best", strict_restore)
        _evaluate(config, workdir, inputs, builder, checkpoint, stop_signal)


def _fit(
    config,
    workdir: str,
    data,
    num_epochs: int,
    *,
    model,
    weights,
    inputs,
    parallel,
    make_writer,
    stop_signal,
    strict_restore,
) -> int:
    """Trains or resumes in this folder until `num_epochs`; returns the best epoch, the last where none was measured."""
    steps_per_epoch = inputs.steps_per_epoch(config, data.train)
    schedule = settings.make_schedule(config, steps_per_epoch, num_epochs)
    optimizer, learning_rate = settings.make_optimizer(config, steps_per_epoch)
    flat_config = config_file.flatten(config)

    state = initial_state(model, optimizer, smallest_batch(data.train.feature_width), config.seed)
    checkpoints = Checkpoints(workdir, config.keep_checkpoints) if processes.is_first() else Elsewhere()
    found = processes.from_first(lambda: _newest(checkpoints, flat_config, strict_restore))
    if found is not None:
        state = like(state, found.state)
        _say(f"resuming at step {found.step} of {schedule.num_steps}")
    is_measured = data.validation is None or found is None or found.about["metric"] is not None
    if state.step < schedule.num_steps or not is_measured:
        writer = ScalarLog(workdir, int(state.step), make_writer(workdir)) if processes.is_first() else Elsewhere()
        read = inputs.train_batches(config, data, int(state.step), schedule.num_steps, *_this_process())
        with contextlib.closing(retrieved(parallel, model, read)) as batches:
            run_training(
                parallel=parallel,
                step_function=make_train_step(
                    model, optimizer, learning_rate, weights, config.seed, config.gradient_accumulation
                ),
                state=state,
                is_measured=is_measured,
                batches=batches,
                describe=lambda videos: ", ".join(data.train.records[i].video_id for i in processes.gather(videos)),
                schedule=schedule,
                writer=writer,
                evaluate=_validation(config, inputs, data, parallel, model, stop_signal),
                checkpoints=checkpoints,
                about={
                    "config": flat_config,
                    "regression_stats": data.regression_stats.tolist(),
                    "class_names": data.train.class_names,
                },
                stop_signal=stop_signal,
                profile_dir=os.path.join(workdir, "profile") if config.profile else None,
            )
    best = processes.from_first(lambda: Checkpoints(workdir).restore("best", WEIGHTS, strict_restore))
    return best.step // steps_per_epoch


def evaluate(config, workdir: str, inputs, checkpoint: str, strict_restore: bool = False) -> None:
    """Restores a checkpoint ('best', 'latest' or a step) and evaluates it on the test split."""
    settings.check_values(config)
    restored = _restore(config, workdir, checkpoint, strict_restore)
    _evaluate(config, workdir, inputs, _prepared(config, workdir, inputs), restored, NO_SIGNAL)


def _evaluate(config, workdir: str, inputs, builder, restored: tuple[int, dict, dict], stop_signal: StopSignal) -> None:
    """Evaluates what `_restore` returned on the test split of a prepared dataset."""
    step, variables, about = restored
    source = inputs.open_test_data(config, builder)
    if about["class_names"] not in (None, source.class_names):
        raise InputError(
            f"{workdir}: checkpoint {step} knows the classes {about['class_names']}, the data {source.class_names}"
        )
    stats = about["regression_stats"]
    if stats is None:  # imported from a file without them
        stats = inputs.open_training_data(config, builder).regression_stats
    scores = _scores(config, inputs, source, variables, stats, stop_signal)
    if not processes.is_first():
        return
    print(f"checkpoint {step}, {len(scores)} test videos")
    detection = settings.make_detection_settings(config)
    title = f"ContextLoc on {config.data.dataset}"
    write_results(workdir, scores, inputs.ground_truth(source), detection, source.identity, title)


def predict(config, workdir: str, inputs, checkpoint: str, strict_restore: bool = False) -> None:
    """Restores a checkpoint and leaves detections.json, detections.csv and report.html of the videos of
    config.data.test_proposals, which need no ground truth."""
    settings.check_values(config)
    check_not_oracle(config.detection.class_scores)
    step, variables, about = _restore(config, workdir, checkpoint, strict_restore)
    source = inputs.open_test_data(
        config, processes.first_before_others(lambda: inputs.prepare_prediction(config, workdir))
    )
    stats = about["regression_stats"]
    if stats is None:  # imported from a file without them
        stats = inputs.open_training_data(config, _prepared(config, workdir, inputs)).regression_stats
    scores = _scores(config, inputs, source, variables, stats, NO_SIGNAL)
    if not processes.is_first():
        return
    labels = about["class_names"] or source.class_names
    detections = detect(scores, labels, settings.make_detection_settings(config))
    write_detections(workdir, detections, f"ContextLoc on {len(scores)} videos")
    print(f"checkpoint {step}, {len(scores)} videos; detections: {os.path.join(workdir, 'detections.json')}")


def _restore(config, workdir: str, checkpoint: str, strict_restore: bool) -> tuple[int, dict, dict]:
    """(step, variables, what the checkpoint carries beside them) of a checkpoint made with such a model."""
    step, state, about = processes.from_first(lambda: Checkpoints(workdir).restore(checkpoint, WEIGHTS, strict_restore))
    where = f"{workdir}: checkpoint {step}"
    config_file.check_same(about["config"], config_file.flatten(config), where, config_file.SCORING_KEYS)
    return step, {name: state.get(name, {}) for name in WEIGHTS}, about


def _scores(config, inputs, source, variables: dict, regression_stats, stop_signal: StopSignal) -> list[VideoScores]:
    """The scores of every video of a source."""
    parallel = Parallel(config.parallel)
    predictor = Predictor(parallel, settings.make_model(config), stop_signal)
    batches = inputs.evaluation_batches(config, source, parallel.num_local_devices, *_this_process())
    progress = Progress("evaluate", len(source), quiet=not processes.is_first(), after_seconds=5)
    scores = []
    for video in predictor(variables, batches, inputs.video_facts(source), regression_stats):
        scores.append(video)
        progress.update(len(scores))
    return scores


class Elsewhere:
    """Stands for what only the first process writes: checkpoints and scalars."""

    latest = "known to process 0"
    writes = False

    def save(self, step, state, about, metric): ...
    def wait(self): ...
    def write_scalars(self, step, scalars): ...


@contextlib.contextmanager
def _first_run_of(workdir: str, flat_config: dict):
    """For as long as this run trains there, no other one does."""
    if not processes.is_first():
        yield
        return
    with lock.locked(workdir):
        config_file.claim_workdir(workdir, flat_config)
        yield


def _newest(checkpoints: Checkpoints, flat_config: dict, strict_restore: bool) -> Restored | None:
    """The newest checkpoint that is whole, None where there is none at all; newer ones are set aside."""
    if checkpoints.latest is None:
        return None
    found = checkpoints.restore("latest", strict=strict_restore)
    config_file.check_same(found.about["config"], flat_config, f"{checkpoints.directory / str(found.step)}")
    checkpoints.set_aside_after(found.step)
    return found


def _prepared(config, workdir: str, inputs):
    """The dataset's builder; built by the first process, found by the others."""
    return processes.first_before_others(lambda: inputs.prepare_dataset(config, workdir))


def _this_process() -> tuple[int, int]:
    return jax.process_index(), jax.process_count()


def _say(text: str) -> None:
    if processes.is_first():
        print(text)


def _validation(config, inputs, data, parallel: Parallel, model, stop_signal) -> Callable[[dict], float | None]:
    """variables -> average mAP on the held-out part of the training videos; None where none is held out."""
    source = data.validation
    if source is None:
        return lambda variables: None
    facts, truth = inputs.video_facts(source), inputs.ground_truth(source)
    predictor = Predictor(parallel, model, stop_signal)
    batches = inputs.evaluation_batches(config, source, parallel.num_local_devices, *_this_process())
    # A file of class scores is about the test videos.
    detection = dataclasses.replace(settings.make_detection_settings(config), class_scores="")

    def average_map(variables: dict) -> float:
        scores = list(predictor(variables, batches, facts, data.regression_stats))
        return measure(scores, truth, detection)["average_mAP"]

    return average_map
