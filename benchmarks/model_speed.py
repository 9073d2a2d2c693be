"""Seconds of a training step and of scoring one video, compared with the operations and bytes that they need."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle, islice
from statistics import median
from typing import Any, NamedTuple

import jax
import numpy as np

from benchmarks.host import peak_gigabytes, seconds_of
from benchmarks.published import WEIGHTS, published_model
from benchmarks.random_batch import random_batch
from benchmarks.rates import copy_rate, matmul_rate, on_accelerator
from benchmarks.useful_work import SCHEDULE_STEPS, SIZES, Size, floor_seconds, moved_bytes, useful_operations
from contextloc_jax.devices.mesh import MeshParallel, compiler_options
from contextloc_jax.devices.parallel import Parallel
from contextloc_jax.localization.contextloc import ContextLoc
from contextloc_jax.localization.objective import training_inputs, training_loss
from contextloc_jax.training.lookahead import prepared_ahead
from contextloc_jax.training.optimizer import learning_rate_schedule, sgd
from contextloc_jax.training.step import initial_state, make_train_step


def measure(case: str) -> dict:
    """The result of `measure_case` or `measure_schedule` for a case of SIZES."""
    size = SIZES[case]
    model = published_model(size.classes, dtype=size.dtype)
    if case != "thumos14_schedule":
        return measure_case(model, size)
    if not on_accelerator():
        return {"skipped": f"{SCHEDULE_STEPS} steps are extrapolated from 200 only on an accelerator"}
    return measure_schedule(model, size)


class Program(NamedTuple):
    """A step or scoring: launch(compile()) starts it, and returns the arrays to wait for."""

    compile: Callable[[], Any]
    launch: Callable[[Any], Any]
    moved_bytes: int

    def run(self, compiled, times: int = 1) -> None:
        for _ in range(times):
            result = self.launch(compiled)
        jax.block_until_ready(result)


def measure_case(model: ContextLoc, size: Size, repeats: int = 15) -> dict[str, float]:
    """Median seconds of a compiled program, its floor, the rates beside it, compile time and the peak memory."""
    program = train_step(model, size) if size.training else scoring(model, size)
    compiled, compile_seconds = timed_compile(program)
    times = 10 if on_accelerator() else 1  # queued, as in training, so that an accelerator never waits for the host
    for _ in range(3):  # not measured: the first steps touch memory for the first time
        program.run(compiled, times)
    every, rates = [], []
    for _ in range(repeats):  # in turn, so that other work on the machine slows both
        rates.append(matmul_rate(size.dtype))
        every.append(seconds_of(lambda: program.run(compiled, times)) / times)
    seconds, rate = median(every), median(rates)
    found = {"seconds": seconds, "compile_seconds": compile_seconds, "peak_gigabytes": peak_gigabytes()}
    if peak := (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use"):
        found["peak_device_gigabytes"] = peak / 1e9
    if jax.config.jax_compilation_cache_dir:
        jax.clear_caches()
        found["cached_compile_seconds"] = timed_compile(program)[1]
    return found | shares(model, size, seconds, program.moved_bytes, rate)


def shares(model: ContextLoc, size: Size, seconds: float, num_bytes: int, rate: float) -> dict[str, float]:
    """Operations, bytes, their rates and the floor, and how `seconds` compares with them."""
    useful, bandwidth = useful_operations(size, model.context_width, model.graph_width), copy_rate()
    floor = floor_seconds(useful, rate, num_bytes, bandwidth)
    return {
        "useful_gflop": useful / 1e9,
        "useful_gflop_per_second": useful / seconds / 1e9,
        "moved_gigabytes": num_bytes / 1e9,
        "matmul_gflop_per_second": rate / 1e9,
        "copy_gigabytes_per_second": bandwidth / 1e9,
        "fraction_of_matmul_rate": useful / seconds / rate,
        "floor_seconds": floor,
        "fraction_of_floor": floor / seconds,
    }


def timed_compile(program: Program) -> tuple[Any, float]:
    """The compiled program, and the seconds of tracing and compiling it."""
    start = time.perf_counter()
    compiled = program.compile()
    return compiled, time.perf_counter() - start


def train_step(model: ContextLoc, size: Size) -> Program:
    """One step after the other on the same batch, which is on the devices. As in training on a CPU, every step runs
    together with the retrieval for the next one; it ends when both have ended."""
    parallel, batch, step, state = training(model, size)
    placed, stop = parallel.shard((batch, no_stop(parallel)))
    prepare = parallel.compile_rows(training_inputs(model))
    thread = ThreadPoolExecutor(max_workers=1)
    held = {"state": state}

    def compile():
        compiled_step = step.lower(held["state"], (jax.eval_shape(prepare, placed), stop)).compile()
        return prepare.lower(placed).compile(), compiled_step

    def launch(compiled):
        compiled_prepare, compiled_step = compiled
        if "inputs" not in held:
            held["inputs"] = compiled_prepare(placed)
        following = thread.submit(compiled_prepare, placed)
        held["state"], scalars = compiled_step(held["state"], (held["inputs"], stop))
        held["inputs"] = following.result()
        return held, scalars

    return Program(compile, launch, moved_bytes(size, num_bytes(batch), num_bytes(state.params)))


def scoring(model: ContextLoc, size: Size) -> Program:
    """Scores of the batch, again and again."""
    batch = jax.device_put(random_batch(size))
    variables = jax.jit(model.init)(jax.random.key(0), batch)
    score = jax.jit(lambda variables, batch: model.apply(variables, batch), compiler_options=compiler_options())
    return Program(
        lambda: score.lower(variables, batch).compile(),
        lambda compiled: compiled(variables, batch),
        moved_bytes(size, num_bytes(batch), num_bytes(variables["params"])),
    )


def measure_schedule(model: ContextLoc, size: Size, steps: int = 200, drawn: int = 8) -> dict[str, float]:
    """Seconds of THUMOS14's whole schedule, from `steps` steps. Each gets another batch from the memory of the host.

    As in training, the host sends the next batch while the device computes, and waits for scalars one step late.
    drawn: number of batches, drawn before the measurement and used in turn.
    """
    parallel, batch, step, state = training(model, size)
    batches = [batch] + [random_batch(size, seed) for seed in range(1, drawn)]
    stop, pending = parallel.shard(no_stop(parallel)), None
    before = matmul_rate(size.dtype)
    fed = islice(cycle(enumerate(batches)), 2 + steps)
    for index, (_, placed) in enumerate(prepared_ahead(parallel, training_inputs(model), fed)):
        if index == 2:  # everything is compiled now
            jax.block_until_ready(state)
            start = time.perf_counter()
        state, scalars = step(state, (placed, stop))
        jax.block_until_ready(pending)
        pending = scalars
    jax.block_until_ready(state)
    seconds = (time.perf_counter() - start) / steps
    moved = moved_bytes(size, num_bytes(batch), num_bytes(state.params))
    rate = (before + matmul_rate(size.dtype)) / 2
    found = shares(model, size, seconds, moved, rate)
    whole = {name: SCHEDULE_STEPS * found[name] for name in ("floor_seconds", "useful_gflop", "moved_gigabytes")}
    measured = {"seconds": SCHEDULE_STEPS * seconds, "seconds_per_step": seconds, "measured_steps": steps}
    return measured | found | whole


def training(model: ContextLoc, size: Size):
    """(Parallel, a batch on the host, the step, its first state on the devices)."""
    parallel, batch = MeshParallel(), random_batch(size)
    rate = learning_rate_schedule(0.01, (15, 30), 0.1, 125)
    optimizer = sgd(rate, 0.9, 5e-4)
    step = parallel.compile_step(make_train_step(training_loss(model, WEIGHTS), optimizer, rate, seed=0))
    return parallel, batch, step, parallel.replicate(initial_state(model, optimizer, batch, 0))


def no_stop(parallel: Parallel) -> np.ndarray:
    return np.zeros(parallel.num_local_devices, np.float32)


def num_bytes(tree) -> int:
    return sum(leaf.nbytes for leaf in jax.tree.leaves(tree))
