"""What a few train steps and an evaluation give on the devices there are; as a script, on virtual ones.

XLA_FLAGS=--xla_force_host_platform_device_count=4 python -m tests.helpers.virtual_devices FILE CASE ...
writes FILE (.npz).
With MEETING=HOST:PORT,N,I it is process I of N, and the first one writes.
"""

import functools
import math
import os
import re
import sys

import jax
import numpy as np

from contextloc_jax.commands.settings import read_settings
from contextloc_jax.commands.trained import make_inference
from contextloc_jax.devices import processes
from contextloc_jax.devices.kinds import KINDS
from contextloc_jax.devices.parallel import Parallel
from contextloc_jax.localization.contextloc import ContextLoc
from contextloc_jax.localization.objective import training_inputs, training_loss
from contextloc_jax.localization.video_scores import Video, to_video_scores
from contextloc_jax.training.lookahead import prepared_ahead
from contextloc_jax.training.step import TrainState, initial_state, make_train_step
from contextloc_jax.workdir.config_file import flatten
from input_pipeline.batches.evaluation_batches import EvaluationBatches
from input_pipeline.batches.training_batches import TrainingBatches
from input_pipeline.datasets.video_source import video_facts
from tests.helpers.published import ALIGN, RULES
from tests.helpers.tiny_runs import STEPS_PER_EPOCH, tiny_config, tiny_source

VIDEOS = 8  # a step, so that eight devices have one each
SETTINGS = read_settings(flatten(tiny_config(batch_size=VIDEOS)))
WEIGHTS, SEED = SETTINGS.loss_weights, SETTINGS.seed
OPTIMIZER, RATE = SETTINGS.make_optimizer(STEPS_PER_EPOCH)
# Name: what differs from SETTINGS, which has dropout and global statistics.
MODELS = {
    "dropout": {},
    "plain": {"model__head_dropout": 0.0, "model__gcn_dropout": 0.0},
    "per replica": {"model__head_dropout": 0.0, "model__gcn_dropout": 0.0, "model__batch_norm_global": False},
    "no norm": {"model__head_dropout": 0.0, "model__batch_norm": False},
    "float64": {"model__head_dropout": 0.0, "model__gcn_dropout": 0.0, "dtype": "float64"},
}
STEPS = {name: 20 if name == "float64" else 3 for name in MODELS}
CASES = [f"{name} {kind}" for name in (*MODELS, "evaluation") if name != "no norm" for kind in KINDS]


@functools.cache
def training_batches():
    """This process's rows of the first batches."""
    batches = TrainingBatches(
        tiny_source("train", VIDEOS), rules=RULES, regression_stats=np.array([[0, 0], [1, 1]]),
        batch_size=VIDEOS, seed=0, align=ALIGN, visits_per_epoch=3, centers=(1, 2, 1),
        process_index=jax.process_index(), process_count=jax.process_count(),
    )  # fmt: skip
    return [batches.batch(step)[1] for step in range(max(STEPS.values()))]


def no_stop(parallel: Parallel) -> np.ndarray:
    """What a step is told where nobody was asked to stop."""
    return np.zeros(parallel.num_local_devices, np.float32)


def tiny_model(name: str) -> ContextLoc:
    return read_settings(flatten(tiny_config(**MODELS[name]))).model


@functools.cache
def first_state(name: str = "dropout") -> TrainState:
    """The models differ in nothing that has parameters, but for their type."""
    return initial_state(tiny_model(name), OPTIMIZER, training_batches()[0], seed=0)


@functools.cache
def compiled_step(name: str, kind: str, accumulation: int = 1):
    """The train step of a model."""
    model = tiny_model(name)
    step = make_train_step(
        training_loss(model, WEIGHTS), OPTIMIZER, RATE, SEED, accumulation, model.norm_axis is not None
    )
    return KINDS[kind]().compile_step(step)


def run_steps(name: str, kind: str) -> dict[str, np.ndarray]:
    """Scalars of every step and the last state, by name."""
    parallel, history, program = KINDS[kind](), [], None
    state = parallel.replicate(first_state("float64" if name == "float64" else "dropout"))
    step, stop = compiled_step(name, kind), parallel.shard(no_stop(parallel))
    numbered = enumerate(training_batches()[: STEPS[name]])
    for _, batch in prepared_ahead(parallel, training_inputs(tiny_model(name)), numbered):
        program = program or step.lower(state, (batch, stop)).compile().as_text()
        state, scalars = step(state, (batch, stop))
        history.append({key: float(np.asarray(value).reshape(-1)[0]) for key, value in scalars.items()})
    found = {key: np.array([scalars[key] for scalars in history]) for key in history[0]}
    leaves = jax.tree.leaves_with_path(parallel.to_host(state))
    return found | {jax.tree_util.keystr(path): leaf for path, leaf in leaves} | program_facts(program)


def program_facts(text: str) -> dict[str, int]:
    """What an optimized program exchanges, asks of the host, and overwrites."""
    collectives = r" (?:all-reduce|all-gather|reduce-scatter|all-to-all|collective-permute)(?:-start)?\("
    return {
        "program all-reduces": len(re.findall(r" all-reduce(?:-start)?\(", text)),
        "program collectives": len(re.findall(collectives, text)),
        "program exchanged bytes": sum(map(result_bytes, re.findall(r"= (\S.*?) all-reduce(?:-start)?\(", text))),
        "program callbacks": text.count("callback") + text.count("outfeed") + text.count("infeed"),
        "program donates": int("input_output_alias" in text),
    }


def result_bytes(types: str) -> int:
    """Of an instruction's result, '(f32[4]{0}, f32[])'."""
    shapes = re.findall(r"[a-z]+(\d+)\[([\d,]*)\]", types)
    return sum(int(bits) // 8 * math.prod(map(int, filter(None, shape.split(",")))) for bits, shape in shapes)


def run_evaluation(kind: str) -> dict[str, np.ndarray]:
    """Scores of nine videos, which several devices cannot share equally, by video and name."""
    source, parallel = tiny_source("test", 9), KINDS[kind]()
    batches = EvaluationBatches(
        source, seed=0, align=ALIGN, videos_per_batch=parallel.num_local_devices,
        process_index=jax.process_index(), process_count=jax.process_count(),
    )  # fmt: skip
    stats, facts = np.array([[0.1, 0.2], [2.0, 3.0]]), video_facts(source)
    numbered = (batches.batch(number) for number in range(len(batches)))
    inference = make_inference(parallel, tiny_model("dropout"))
    rows = inference(first_state().variables, numbered)
    found = (to_video_scores(row, Video(*facts(index)), stats) for index, row in rows)
    return {
        f"{video.video_id}.{name}": getattr(video, name)
        for video in found
        for name in ("activity", "completeness", "regression")
    }


def run(case: str) -> dict[str, np.ndarray]:
    """One of CASES, by '<case>: <name>'."""
    name, kind = case.rsplit(" ", 1)
    jax.config.update("jax_enable_x64", name == "float64")  # in all threads
    try:
        found = run_evaluation(kind) if name == "evaluation" else run_steps(name, kind)
    finally:
        jax.config.update("jax_enable_x64", False)
    return {f"{case}: {key}": value for key, value in found.items()}


if __name__ == "__main__":
    path, *cases = sys.argv[1:]
    coordinator, num_processes, process_id = os.environ.get("MEETING", ",,").split(",")
    meeting = (coordinator, int(num_processes), int(process_id)) if coordinator else ()
    with processes.together(*meeting):
        found = {}
        for case in sorted(cases, key=lambda case: "float64" in case):
            if "float64" in case:  # to 1e-8 also as written; compiled in half the time
                jax.config.update("jax_disable_most_optimizations", True)
            found |= run(case)
        if processes.is_first():
            np.savez(path, devices=jax.device_count(), **found)
