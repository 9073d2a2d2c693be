"""Runs that a benchmark needs: each is trained once."""

import pytest

from benchmarks.trained_runs import metrics_of
from tests.helpers.paths import ROOT


def test_a_finished_run_is_not_run_again_and_one_that_fails_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    (tmp_path / "metrics.json").write_text('{"average_mAP": 0.5}')
    assert metrics_of(tmp_path, "--config=configs/no_such.py") == {"average_mAP": 0.5}
    with pytest.raises(SystemExit, match=r"the run in .*new failed"):
        metrics_of(tmp_path / "new", "--config=configs/no_such.py")
