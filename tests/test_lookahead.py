"""Work one item ahead: order, errors at their turn, and that it really is beside the caller's."""

import threading

import pytest

from contextloc_jax.lookahead import one_ahead


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
