"""Work that is done one batch ahead of the training steps: sending the batch and, on a CPU, preparing it."""

import contextlib
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any

import jax
import numpy as np

from contextloc_jax.devices.parallel import Parallel


def prepared_ahead(
    parallel: Parallel, prepare: Callable[[Any], Any], batches: Iterable[tuple[np.ndarray, Any]]
) -> Generator[tuple[np.ndarray, Any], None, None]:
    """Yields (indices, prepare(batch) on the devices) for every (indices, batch), one batch ahead of the steps.

    prepare: what a stage computes from a batch without its parameters (ContextLoc: retrieval), per device.
    CPU: `prepare` runs while a step runs. It needs little more than one core; the step uses the others.
    Accelerator: it works in the order of its queue, and a step must not wait for the batch after it. So the batch is
    only sent ahead (not with pmap), and `prepare` runs between the steps.
    Several processes: all must queue their work in the same order. So nothing runs ahead.
    """
    compiled = parallel.compile_rows(prepare)

    def placed(item):
        indices, batch = item
        return indices, parallel.shard(batch)

    def found(item):
        indices, batch = item
        return indices, compiled(batch)

    if jax.process_count() > 1:
        yield from (found(placed(item)) for item in batches)
    elif jax.default_backend() == "cpu":
        yield from one_ahead(lambda item: found(placed(item)), batches)
    else:
        with contextlib.closing(one_ahead(placed, batches)) as sent:
            yield from map(found, sent)


def one_ahead(function: Callable[[Any], Any], items: Iterable) -> Generator:
    """Yields function(item) for every item, in order. Meanwhile, a thread reads and computes the next one.

    If reading or computing an item raises an exception, it is raised here in that item's turn.
    """
    items = iter(items)

    def following() -> list:
        return [function(item) for item in islice(items, 1)]

    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="one_ahead") as thread:
        pending = thread.submit(following)
        while found := pending.result():
            pending = thread.submit(following)
            yield found[0]
