"""What is done one batch ahead of the training steps: sending it and, on a CPU, preparing it for the step."""

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
    """(indices, prepare(batch) on the devices) of every (indices, batch), one batch ahead of the steps.

    prepare: what a stage makes of a batch without its parameters (ContextLoc: retrieval), per device. On a CPU it runs
    beside the step: it keeps little more than one core busy while the products of a step fill the others. An
    accelerator computes in the order it is asked to, and a step must not wait for the batch after it, so there the
    batch is sent ahead (though not with pmap) and prepared in turn. Several processes must give their devices all
    work in the same order, so there everything comes in turn.
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
    """function(item) of every item, in order; a thread reads and computes the next one in the meantime.

    What reading or computing an item raises is raised here when it is that item's turn.
    """
    items = iter(items)

    def following() -> list:
        return [function(item) for item in islice(items, 1)]

    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="one_ahead") as thread:
        pending = thread.submit(following)
        while found := pending.result():
            pending = thread.submit(following)
            yield found[0]
