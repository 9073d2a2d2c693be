"""The log of scalars: read back as written, and cut where a run resumes."""

import pytest

from contextloc_jax.workdir.scalar_log import FILE_NAME, ScalarLog, read_curves
from tests.helpers.tiny_runs import SilentWriter


def logged(workdir, start_step, *steps):
    log = ScalarLog(workdir, start_step, SilentWriter())
    for step in steps:
        log.write_scalars(step, {"loss": step / 2})


def test_what_was_written_is_read_back_by_name(tmp_path):
    log = ScalarLog(tmp_path, 0, SilentWriter())
    log.write_scalars(1, {"loss": 2.5, "rate": 0.1})
    log.write_scalars(2, {"loss": 1 / 3})
    assert read_curves(tmp_path) == {"loss": ([1, 2], [2.5, 1 / 3]), "rate": ([1], [0.1])}


def test_tensorboard_gets_the_same_numbers(tmp_path):
    writer = SilentWriter()
    ScalarLog(tmp_path, 0, writer).write_scalars(7, {"loss": 2.5})
    assert writer.written == [(7, {"loss": 2.5})]


def test_nothing_logged_is_no_curves(tmp_path):
    assert read_curves(tmp_path) == {}
    ScalarLog(tmp_path, 0, SilentWriter())
    assert read_curves(tmp_path) == {}


def test_a_resumed_run_drops_the_steps_it_will_take_again(tmp_path):
    logged(tmp_path, 0, 1, 2, 3, 4)
    logged(tmp_path, 2, 3, 4, 5)
    assert read_curves(tmp_path)["loss"] == ([1, 2, 3, 4, 5], [0.5, 1, 1.5, 2, 2.5])


def test_a_new_run_drops_everything(tmp_path):
    logged(tmp_path, 0, 1, 2)
    logged(tmp_path, 0, 3)
    assert read_curves(tmp_path)["loss"] == ([3], [1.5])


@pytest.mark.parametrize("torn", ['{"step": 3, "loss": 1.', '{"step": 3, "loss": 1.0}', "{"])
def test_a_line_cut_off_by_a_crash_is_no_line(tmp_path, torn):
    logged(tmp_path, 0, 1, 2)
    with (tmp_path / FILE_NAME).open("a") as file:
        file.write(torn)
    assert read_curves(tmp_path)["loss"] == ([1, 2], [0.5, 1])
    logged(tmp_path, 2, 3)
    assert read_curves(tmp_path)["loss"] == ([1, 2, 3], [0.5, 1, 1.5])
