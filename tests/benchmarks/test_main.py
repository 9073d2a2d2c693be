"""The cases of the benchmarks: what they print, write and need."""

import importlib
import json
import os
import subprocess
import sys

from benchmarks.table import header, row
from tests.helpers.absent_packages import import_all
from tests.helpers.paths import ROOT


def bench(*arguments, **environment) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", *arguments]
    return subprocess.run(command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True)


def test_single_cases_replace_their_like_in_the_file(tmp_path):
    file = tmp_path / "bench.json"
    file.write_text(json.dumps({"nms_74k": {"seconds": -1}, "map_74k": {"seconds": 2}}))
    done = bench("benchmarks", "nms_74k", BENCH_JSON=str(file))
    assert done.returncode == 0, done.stderr
    found = json.loads(file.read_text())
    assert found["map_74k"] == {"seconds": 2} and found["nms_74k"]["seconds"] > 0
    assert 0 < found["nms_74k"]["fraction_of_floor"] < 1 and found["nms_74k"]["peak_gigabytes"] > 0.02
    assert done.stdout.splitlines() == [*header(), row("nms_74k", found["nms_74k"])]


def test_an_unknown_case_is_named():
    done = bench("benchmarks", "no_such_case")
    assert done.returncode == 1 and "no case 'no_such_case'; expected one of train_step_b32_t600" in done.stderr


def test_every_case_belongs_to_a_module_that_measures_it():
    """By the source's names: importing all modules would import TensorFlow."""
    main = importlib.import_module("benchmarks.__main__")
    for module in set(main.MODULES.values()):
        assert "\ndef measure(case: str" in (ROOT / "benchmarks" / f"{module}.py").read_text()


def test_what_needs_an_absent_package_is_left_out(monkeypatch, capsys):
    main = importlib.import_module("benchmarks.__main__")
    monkeypatch.setattr(main.importlib.util, "find_spec", lambda name: None)
    assert main.main(["step_loop"]) == 0
    assert "step_loop: skipped, tensorflow is not installed" in capsys.readouterr().err


def test_a_case_that_fails_is_told_and_the_others_are_measured(monkeypatch, capsys):
    main = importlib.import_module("benchmarks.__main__")
    monkeypatch.setitem(main.MODULES, "broken", "no_such_module")
    assert main.main(["broken", "nms_74k"]) == 1
    told = capsys.readouterr()
    assert "broken: failed with exit code 1" in told.err and "nms_74k" in told.out


def test_the_table_is_printed_by_a_small_process_and_the_model_is_measured_without_tensorflow():
    """A child's peak memory counts from its parent's; a GPU box may have jax alone."""
    assert import_all(["benchmarks.__main__"], {"jax", "numpy", "tensorflow"}) == []
    absent = {"tensorflow", "tensorflow_datasets", "ml_collections", "input_pipeline", "clu"}
    measured = ["benchmarks.model_speed", "benchmarks.scaling", "benchmarks.evaluation"]
    assert import_all(measured, absent) == []
