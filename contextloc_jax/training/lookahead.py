"""What is done one batch ahead of the training steps: sending it and, on a CPU, retrieval; neither needs parameters."""

import contextlib
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any

import jax
import numpy as np

from contextloc_jax.core.structs import Batch
from contextloc_jax.devices.parallel import Parallel
from contextloc_jax.localization.contextloc import ContextLoc


def retrieved(
    parallel: Parallel, model: ContextLoc, batches: Iterable[tuple[np.ndarray, Batch]]
) -> Generator[tuple[np.ndarray, Batch], None, None]:
    """Every batch on the devices, with what the model retrieves of its features in their place.

    One batch ahead of the steps. On a CPU it is retrieved, which keeps little more than one core busy while the
    products of a step fill the others. An accelerator computes in the order it is asked to, and a step must not wait
    for the batch after it, so there the batch is sent ahead (though not with pmap) and retrieved in turn. Several
    processes must give their devices all work in the same order, so there everything comes in turn.
    """
    retrieve = parallel.compile_retrieval(model.retrieve)

    def placed(item):
        videos, batch = item
        return videos, parallel.shard(batch)

    def found(item):
        videos, batch = item
        return videos, retrieve(batch)

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
