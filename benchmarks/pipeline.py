"""How fast the input pipeline feeds a step: videos per second at THUMOS14's size, and how long the step loop waits.

Videos of at most 1,024 snippets (every training batch is padded to 1,024), 1,024 wide, stored as float16, 168 nodes per
video, batches of 32 videos, all cores.

train_page_cache  training batches whose features are read from the dataset's files every time (the operating system
                  keeps them in its page cache)
train_in_memory   the same with the features kept in memory (config.data.cache_gigabytes)
evaluation        every test video once, read from files; in a second pass, so that graphs are already computed
step_loop         training steps on this machine's devices; for `idle_share` of their time retrieval waits for a batch

The floor of a batch: its features are read as they are stored, and written as the batch holds them.
"""

import contextlib
import io
import os
import tempfile
import time
from itertools import islice

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

import jax
import numpy as np

from benchmarks.host import beside_copying
from benchmarks.model_speed import no_stop
from benchmarks.rates import copy_rate
from configs import synthetic
from contextloc_jax.commands.settings import Settings, read_settings
from contextloc_jax.localization.contextloc import smallest_batch
from contextloc_jax.localization.objective import training_inputs, training_loss
from contextloc_jax.training.lookahead import prepared_ahead
from contextloc_jax.training.step import initial_state, make_train_step
from contextloc_jax.workdir.config_file import flatten
from input_pipeline.inputs import Inputs, TrainingData

NUM_VIDEOS = 64  # train; 16 test
STORED_BYTES = 2  # of one value of a feature: configs/synthetic.py stores float16


def measure(case: str, num_batches: int = 40, num_steps: int = 6) -> dict[str, float]:
    """seconds and videos_per_second of a case; for step_loop also idle_share."""
    config = synthetic.get_config()
    config.data.synthetic.train_videos, config.data.synthetic.test_videos = NUM_VIDEOS, NUM_VIDEOS // 4
    config.data.synthetic.shortest_snippets = config.data.synthetic.longest_snippets // 2
    config.data.cache_gigabytes = 4.0 if case == "train_in_memory" else 0.0
    settings = read_settings(flatten(config))
    inputs = Inputs(**settings.inputs._asdict())
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        prepared = inputs.prepare(folder)
        match case:
            case "evaluation":
                batches = inputs.evaluation_batches(inputs.test_data(prepared), videos_per_batch=4)
                _drain(batches)
                return _timed(batches)
            case "step_loop":
                return _step_loop(settings, inputs, inputs.training_data(prepared), num_steps)
            case _:
                return _timed_training(settings, inputs, inputs.training_data(prepared), num_batches)


def _timed_training(settings: Settings, inputs: Inputs, data: TrainingData, num_batches: int) -> dict[str, float]:
    """Measures without the first batches, which compute what later visits of a video use again."""
    first = 2 * NUM_VIDEOS // settings.batch_size
    batches = iter(inputs.train_batches(data, 0, first + num_batches))
    _drain(islice(batches, first))
    return _timed(batches)


def _timed(batches) -> dict[str, float]:
    videos = moved = 0
    start = time.perf_counter()
    for indices, batch in batches:
        videos += np.count_nonzero(indices >= 0)
        moved += STORED_BYTES * batch.features.size + batch.features.nbytes
    seconds = time.perf_counter() - start
    return beside_copying(seconds, moved, copy_rate()) | {"videos_per_second": videos / seconds}


def _step_loop(settings: Settings, inputs: Inputs, data: TrainingData, num_steps: int) -> dict[str, float]:
    """Measures steps after the first one, which compiles. Each runs together with the retrieval for the next. Waiting
    is the time from asking for a batch to having it."""
    waits = []

    def batches():
        source = iter(inputs.train_batches(data, 0, num_steps + 2))
        for _ in range(num_steps + 2):
            asked = time.perf_counter()
            item = next(source)
            waits.append(time.perf_counter() - asked)
            yield item

    parallel, model = settings.make_parallel(), settings.model
    optimizer, rate = settings.make_optimizer(steps_per_epoch=num_steps)
    step = parallel.compile_step(
        make_train_step(training_loss(model, settings.loss_weights), optimizer, rate, settings.seed)
    )
    first = smallest_batch(data.train.feature_width)
    state = parallel.replicate(initial_state(model, optimizer, first, settings.seed))
    stop = parallel.shard(no_stop(parallel))
    placed = prepared_ahead(parallel, training_inputs(model), batches())
    for index in range(num_steps + 1):
        state, _ = step(state, (next(placed)[1], stop))
        jax.block_until_ready(state)
        if index == 0:
            start = time.perf_counter()
    seconds = time.perf_counter() - start
    return {
        "seconds": seconds,
        "videos_per_second": num_steps * settings.batch_size / seconds,
        "idle_share": sum(waits[2:]) / seconds,
    }


def _drain(batches) -> None:
    for _ in batches:
        pass
