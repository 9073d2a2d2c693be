"""What an error message quotes stays one short line, and a disk that refuses to write is the user's to fix."""

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contextloc_jax.core.errors import REFUSALS, InputError, excerpt, refusals_are_one_line, some_of


def test_an_input_error_is_a_value_error():
    """So that callers of the library who catch ValueError catch it."""
    with pytest.raises(ValueError, match="the line"):
        raise InputError("the line")


ANYTHING = st.recursive(
    st.none() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=30,
)


@given(ANYTHING)
def test_an_excerpt_is_one_short_line_whatever_it_is_of(value):
    text = excerpt(value)
    assert text and len(text.splitlines()) == 1 and len(text) < 2000


def test_an_excerpt_shows_what_is_short_as_it_is():
    assert [excerpt(value) for value in ("a\nb", 3, [1, 2], None)] == [r"'a\nb'", "3", "[1, 2]", "None"]
    assert len(excerpt("x" * 1000)) == 60 and "..." in excerpt("x" * 1000)
    assert len(excerpt([*range(1000)])) < 60


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([], ""),
        (["b", "a"], "'a', 'b'"),
        (iter("edcba"), "'a', 'b', 'c', 'd', 'e'"),
        (set("abcdef"), "'a', 'b', 'c', 'd', 'e', ..."),
    ],
)
def test_the_first_of_many_names_in_order(names, expected):
    assert some_of(names) == expected


def test_some_of_as_many_as_asked_for():
    assert some_of("cab", most=1) == "'a', ..."


@pytest.mark.parametrize("number", REFUSALS)
def test_a_disk_that_refuses_is_one_line_that_says_how_to_go_on(number):
    with pytest.raises(InputError) as caught, refusals_are_one_line():
        raise OSError(number, "refused", "runs/a/scalars.jsonl")
    text = str(caught.value)
    assert text.startswith("runs/a/scalars.jsonl: refused; make room or choose another folder") and "\n" not in text


def test_a_refusal_of_an_unnamed_file_is_one_line_too():
    with pytest.raises(InputError, match=r"^a file: No space left; make room"), refusals_are_one_line():
        raise OSError(errno.ENOSPC, "No space left")


@pytest.mark.parametrize("error", [OSError(errno.ENOENT, "gone", "x"), KeyError("a bug"), InputError("as it is")])
def test_other_errors_pass_as_they_are(error):
    with pytest.raises(type(error)) as caught, refusals_are_one_line():
        raise error
    assert caught.value is error
