"""Work one item ahead: order, errors at their turn, and that it really is beside the caller's."""

import threading
from types import SimpleNamespace

import jax
import pytest

from contextloc_jax.training.lookahead import one_ahead, prepared_ahead


@pytest.mark.parametrize("count", range(4))
def test_every_item_comes_once_and_in_order(count):
    assert list(one_ahead(lambda item: item * item, range(count))) == [item * item for item in range(count)]


def test_what_counts_as_false_is_an_item_too():
    assert list(one_ahead(lambda item: item, [0, None, [], 1])) == [0, None, [], 1]


def test_the_next_item_is_computed_while_the_caller_has_this_one():
    computed = [threading.Event() for _ in range(3)]

    def compute(item):
        computed[item].set()
        return item

    for item in one_ahead(compute, range(3)):
        assert all(event.wait(timeout=30) for event in computed[: item + 2])
        assert not any(event.is_set() for event in computed[item + 2 :])


@pytest.mark.parametrize("failing", ["reading", "computing"])
def test_an_error_is_raised_at_its_turn(failing):
    def items():
        yield from range(2)
        if failing == "reading":
            raise ValueError("no item 2")
        yield 2

    def compute(item):
        if item == 2:
            raise ValueError("no item 2")
        return item

    ahead = one_ahead(compute, items())
    assert (next(ahead), next(ahead)) == (0, 1)
    with pytest.raises(ValueError, match="no item 2"):
        next(ahead)


def test_closing_ends_the_thread():
    ahead = one_ahead(lambda item: item, iter(int, 1))
    next(ahead)
    ahead.close()
    assert not any(thread.name.startswith("one_ahead") for thread in threading.enumerate())


@pytest.mark.parametrize(
    ("backend", "processes", "ahead"), [("cpu", 1, ["sent", "prepared"]), ("gpu", 1, ["sent"]), ("gpu", 2, [])]
)
def test_what_is_done_ahead_of_a_step_and_what_in_turn(monkeypatch, backend, processes, ahead):
    """An accelerator must not be asked to prepare a batch before the step that it is ahead of."""
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    monkeypatch.setattr(jax, "process_count", lambda: processes)
    threads = {"sent": set(), "prepared": set()}

    def doing(what):
        def do(batch):
            threads[what].add(threading.current_thread() is threading.main_thread())
            return f"{batch} {what}"

        return do

    parallel = SimpleNamespace(shard=doing("sent"), compile_rows=lambda prepare: prepare)
    batches = [(index, f"batch {index}") for index in range(3)]
    found = prepared_ahead(parallel, doing("prepared"), batches)
    assert list(found) == [(index, f"batch {index} sent prepared") for index in range(3)]
    assert threads == {what: {what not in ahead} for what in threads}


@pytest.mark.parametrize("backend", ["cpu", "gpu"])
def test_closing_what_is_prepared_ends_the_thread(monkeypatch, backend):
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    parallel = SimpleNamespace(shard=lambda batch: batch, compile_rows=lambda prepare: prepare)
    batches = prepared_ahead(parallel, lambda batch: batch, ((0, n) for n in iter(int, 1)))
    next(batches)
    batches.close()
    assert not any(thread.name.startswith("one_ahead") for thread in threading.enumerate())
