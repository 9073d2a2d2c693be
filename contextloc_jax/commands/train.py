"""The mode train: trains or resumes, then evaluates the best checkpoint."""

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax
import optax

from contextloc_jax.commands.evaluate import evaluate_trained
from contextloc_jax.commands.inputs import Inputs, TrainingData
from contextloc_jax.commands.prepare import prepare
from contextloc_jax.commands.results import measure
from contextloc_jax.commands.settings import Settings
from contextloc_jax.commands.trained import make_inference, restore, score_videos, this_process
from contextloc_jax.core.files import make_folder
from contextloc_jax.devices import processes
from contextloc_jax.devices.parallel import Parallel
from contextloc_jax.devices.preemption import NO_SIGNAL, StopSignal
from contextloc_jax.localization.contextloc import smallest_batch
from contextloc_jax.localization.objective import training_inputs, training_loss
from contextloc_jax.training.lookahead import prepared_ahead
from contextloc_jax.training.loop import Run, Schedule
from contextloc_jax.training.step import initial_state, make_train_step
from contextloc_jax.workdir import config_file, lock
from contextloc_jax.workdir.checkpoints import WEIGHTS, Checkpoints, Restored, like
from contextloc_jax.workdir.scalar_log import ScalarLog


def train(
    settings: Settings,
    workdir: str,
    inputs: Inputs,
    make_writer: Callable[[str], Any],
    stop_signal: StopSignal = NO_SIGNAL,
    strict_restore: bool = False,
) -> None:
    """Trains or resumes, then evaluates the best checkpoint. If the workdir is finished, it only evaluates.

    make_writer: workdir -> a TensorBoard-like writer (an object with write_scalars(step, scalars)).
    stop_signal: after it is received, the run saves everything and raises Stopped.
    strict_restore: refuse a damaged checkpoint instead of resuming from the one before.
    """
    parallel = settings.make_parallel()
    stop_signal.alone = jax.process_count() == 1
    parallel.check_batch_size(settings.batch_size, settings.gradient_accumulation)
    fitting = Fitting(settings, inputs, parallel, make_writer, stop_signal, strict_restore)
    with _only_run_of(workdir, settings.flat):
        prepared = prepare(workdir, inputs)
        data, num_epochs = inputs.training_data(prepared), settings.num_epochs
        if settings.refit:
            num_epochs = fitting.fit(str(make_folder(os.path.join(workdir, "selection"))), data, num_epochs)
            data = inputs.training_data(prepared, hold_out=False)
            _say(
                f"best on the held-out videos: epoch {num_epochs}; now {num_epochs} epochs on all {len(data.train)} "
                "training videos"
            )
        fitting.fit(workdir, data, num_epochs)
        best = restore(settings, workdir, "best", strict_restore)
        evaluate_trained(settings, workdir, inputs, prepared, best, stop_signal)


@dataclass(frozen=True)
class Fitting:
    """What all trainings of one command share. With config.refit there are two, and the first chooses the epoch."""

    settings: Settings
    inputs: Inputs
    parallel: Parallel
    make_writer: Callable[[str], Any]
    stop_signal: StopSignal
    strict_restore: bool

    def fit(self, workdir: str, data: TrainingData, num_epochs: int) -> int:
        """Trains or resumes in this folder up to `num_epochs`. Returns the best epoch; the last one if none was
        measured."""
        settings = self.settings
        steps_per_epoch = self.inputs.steps_per_epoch(data.train)
        schedule = settings.make_schedule(steps_per_epoch, num_epochs)
        optimizer, learning_rate = settings.make_optimizer(steps_per_epoch)

        state = initial_state(settings.model, optimizer, smallest_batch(data.train.feature_width), settings.seed)
        checkpoints = Checkpoints(workdir, settings.keep_checkpoints) if processes.is_first() else Elsewhere()
        found = processes.from_first(lambda: self._newest(checkpoints))
        if found is not None:
            state = like(state, found.state)
            _say(f"resuming at step {found.step} of {schedule.num_steps}")
        is_measured = data.validation is None or found is None or found.about["metric"] is not None
        if state.step < schedule.num_steps or not is_measured:
            run = self._run(workdir, data, schedule, optimizer, learning_rate, checkpoints, int(state.step))
            read = self.inputs.train_batches(data, int(state.step), schedule.num_steps, *this_process())
            with contextlib.closing(prepared_ahead(self.parallel, training_inputs(settings.model), read)) as batches:
                run.train(state, batches, is_measured)
        best = processes.from_first(lambda: Checkpoints(workdir).restore("best", WEIGHTS, self.strict_restore))
        return best.step // steps_per_epoch

    def _run(
        self,
        workdir: str,
        data: TrainingData,
        schedule: Schedule,
        optimizer: optax.GradientTransformation,
        learning_rate: optax.Schedule,
        checkpoints: Checkpoints,
        first_step: int,
    ) -> Run:
        """The parts that the loop needs, from `first_step` on."""
        settings, is_first = self.settings, processes.is_first()
        step = make_train_step(
            training_loss(settings.model, settings.loss_weights),
            optimizer,
            learning_rate,
            settings.seed,
            settings.gradient_accumulation,
            stats_are_global=settings.model.norm_axis is not None,
        )
        return Run(
            parallel=self.parallel,
            step_function=step,
            schedule=schedule,
            writer=ScalarLog(workdir, first_step, self.make_writer(workdir)) if is_first else Elsewhere(),
            checkpoints=checkpoints,
            about=self._about(data),
            validate=self._validation(data),
            metric="average_mAP",
            describe=lambda videos: ", ".join(data.train.records[i].video_id for i in processes.gather(videos)),
            stop_signal=self.stop_signal,
            profile_dir=os.path.join(workdir, "profile") if settings.profile else None,
        )

    def _newest(self, checkpoints: Checkpoints) -> Restored | None:
        """The newest checkpoint that is not damaged; None if there are no checkpoints. Newer ones are renamed."""
        if checkpoints.latest is None:
            return None
        found = checkpoints.restore("latest", strict=self.strict_restore)
        where = f"{checkpoints.directory / str(found.step)}"
        config_file.check_same(found.about["config"], self.settings.flat, where)
        checkpoints.set_aside_after(found.step)
        return found

    def _about(self, data: TrainingData) -> dict:
        return {
            "config": self.settings.flat,
            "regression_stats": data.regression_stats.tolist(),
            "class_names": data.train.class_names,
        }

    def _validation(self, data: TrainingData) -> Callable[[dict], float | None]:
        """variables -> average mAP on the held-out training videos; None if there are none."""
        source, stats, inputs = data.validation, data.regression_stats, self.inputs
        if source is None:
            return lambda variables: None
        truth = inputs.ground_truth(source)
        inference = make_inference(self.parallel, self.settings.model, self.stop_signal)
        batches = inputs.evaluation_batches(source, self.parallel.num_local_devices, *this_process())
        # Class scores are about the test videos, so validation does not use them.
        detection = replace(self.settings.detection, class_scores="")

        def average_map(variables: dict) -> float:
            scores = list(score_videos(inference, variables, stats, inputs, source, batches))
            return measure(scores, truth, detection)["average_mAP"]

        return average_map


class Elsewhere:
    """Takes the place of Checkpoints and ScalarLog in all processes but the first, because only that one writes."""

    latest = "known to process 0"
    writes = False

    def save(self, step, state, about, metric): ...
    def wait(self): ...
    def write_scalars(self, step, scalars): ...


@contextlib.contextmanager
def _only_run_of(workdir: str, flat: dict):
    """Keeps other runs from training in this workdir during the `with` block."""
    if not processes.is_first():
        yield
        return
    with lock.locked(workdir):
        config_file.claim_workdir(workdir, flat)
        yield


def _say(text: str) -> None:
    if processes.is_first():
        print(text)
