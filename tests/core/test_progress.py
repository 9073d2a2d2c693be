"""Lines of progress, and what they say of speed and of the time that is left."""

import sys
import time

import pytest

from contextloc_jax.core.progress import Progress


@pytest.fixture
def clock(monkeypatch):
    """A clock that only the test moves: clock(seconds)."""
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    def pass_by(seconds):
        now[0] += seconds

    return pass_by


def lines(capsys):
    return capsys.readouterr().err.splitlines()


def test_a_line_says_how_far_at_what_speed_and_how_long_it_takes_still(clock, capsys):
    progress = Progress("train", 1000)
    clock(5)
    progress.update(20, loss=2.34567, rate=0.01)
    assert lines(capsys) == ["train 20/1000  loss 2.346  rate 0.01  4/s  4:05 left"]


def test_what_is_counted_one_by_one_needs_no_number(clock, capsys):
    progress = Progress("prepare shoulder", 80, done=11)
    clock(0.5)
    progress.advance()
    assert lines(capsys) == ["prepare shoulder 12/80  2/s  0:34 left"]
    clock(20)
    progress.update(79)
    progress.advance()
    assert [line.split()[2] for line in lines(capsys)] == ["79/80", "80/80"]


@pytest.mark.parametrize(
    "seconds_a_step, left", [(0.1, "0:01 left"), (59.6, "9:56 left"), (600, "1:40:00 left"), (36, "6:00 left")]
)
def test_time_left_is_minutes_and_seconds_or_hours(clock, capsys, seconds_a_step, left):
    progress = Progress("train", 11)
    clock(seconds_a_step)
    progress.update(1)
    assert lines(capsys)[0].endswith(left)


def test_a_log_gets_a_line_every_ten_seconds_and_the_last_one(clock, capsys):
    progress = Progress("train", 30)
    for done in range(1, 31):
        clock(1)
        progress.update(done)
    assert [line.split()[1] for line in lines(capsys)] == ["1/30", "12/30", "23/30", "30/30"]


def test_a_terminal_gets_every_update_in_one_line_and_keeps_the_last(clock, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    progress = Progress("train", 3)
    for done in range(1, 4):
        clock(1)
        progress.update(done)
    text = capsys.readouterr().err
    assert text.count("\r") == 2 and text.count("\n") == 1 and text.endswith("0:00 left\n")
    progress.note("step 3: saved")
    assert capsys.readouterr().err.endswith("step 3: saved\n")


def test_speed_forgets_what_it_was_at_first_when_the_program_compiled(clock):
    progress = Progress("train", 1000)
    clock(60)
    progress.update(20)
    assert progress.steps_per_second == pytest.approx(1 / 3)
    for done in range(40, 240, 20):
        clock(2)
        progress.update(done)
    assert progress.steps_per_second == pytest.approx(10, rel=0.01)


def test_speed_counts_a_resumed_runs_own_steps_only(clock):
    progress = Progress("train", 1000, done=500)
    clock(2)
    progress.update(520)
    assert progress.steps_per_second == pytest.approx(10)


def test_an_evaluation_between_two_updates_does_not_count(clock):
    progress = Progress("train", 1000)
    clock(2)
    progress.update(20)
    clock(1)  # 10 more steps
    clock(300)  # an evaluation
    progress.restart_clock(30)
    clock(1)
    progress.update(40)
    assert progress.steps_per_second == pytest.approx(10)


def test_quiet_prints_nothing_but_measures(clock, capsys):
    progress = Progress("train", 2, quiet=True)
    clock(1)
    progress.update(2)
    progress.note("saved")
    assert lines(capsys) == [] and progress.steps_per_second == pytest.approx(2)


def test_a_short_job_prints_nothing(clock, capsys):
    progress = Progress("score", 100, after_seconds=3)
    clock(2)
    progress.update(50)
    clock(0.5)
    progress.update(100)
    assert lines(capsys) == []
    clock(5)
    progress.update(100)
    assert len(lines(capsys)) == 1


def test_what_comes_in_bursts_is_measured_over_the_pauses_too(clock, capsys):
    """Eight videos of a batch every two seconds."""
    progress = Progress("evaluate", 80)
    for done in range(1, 41):
        clock(2 if done % 8 == 1 else 1e-4)
        progress.update(done)
    assert 3 < progress.steps_per_second < 5
