"""Retrieval one batch ahead of the training steps: it needs nothing that they change."""

from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any

import jax
import numpy as np

from contextloc_jax.batch import Batch
from contextloc_jax.model import ContextLoc
from contextloc_jax.parallel import Parallel


def retrieved(
    parallel: Parallel, model: ContextLoc, batches: Iterable[tuple[np.ndarray, Batch]]
) -> Generator[tuple[np.ndarray, Batch], None, None]:
    """Every batch on the devices, with what the model retrieves of its features in their place.

    One batch ahead of the steps: on a CPU retrieval keeps little more than one core busy and the products of a step
    fill the others. Several processes must give their devices all work in the same order, so there it comes in turn.
    """
    retrieve = parallel.compile_retrieval(model.retrieve)

    def of(item):
        videos, batch = item
        return videos, retrieve(parallel.shard(batch))

    return one_ahead(of, batches) if jax.process_count() == 1 else (of(item) for item in batches)


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
