"""The benchmarks' table, plots and cases: what they print, write and need."""

import importlib
import json
import os
import subprocess
import sys
from xml.etree import ElementTree

import pytest

from benchmarks.bfloat16 import table as bfloat16_table
from benchmarks.log_plot import Panel, fitted_power, svg
from benchmarks.table import header, row, table, write_section
from benchmarks.trained_runs import metrics_of
from tests.helpers.paths import ROOT
from tests.test_imports import import_all


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


def test_a_table_has_the_columns_that_any_case_has():
    lines = table({"a": {"seconds": 2, "videos_per_second": 1234.5}, "b": {"seconds": 0.5, "not_shown": 1}})
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if "---" not in line]
    assert cells == [["case", "seconds", "videos/s"], ["a", "2", "1,234"], ["b", "0.5", ""]]


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


def test_a_power_law_is_fitted():
    assert fitted_power([1, 2, 4], [3, 12, 48]) == pytest.approx((2, 3))


def test_a_plot_has_every_point_and_names_the_exponent():
    drawn = svg([Panel("seconds", "proposals", [200, 400, 800], [0.1, 0.2, 0.4])] * 2)
    root = ElementTree.fromstring(drawn)
    circles = root.findall(".//{*}circle")
    assert len(circles) == 6 and drawn.count("exponent 1.00") == 2
    inside = [0 < float(c.get("cx")) < 330 and 0 < float(c.get("cy")) < 250 for c in circles]
    assert all(inside)


def test_a_section_is_replaced_and_the_rest_of_the_page_stays(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- table -->\nold\n<!-- end of table -->\nafter\n")
    write_section(page, "table", ["new", "rows"])
    assert page.read_text() == "before\n<!-- table -->\nnew\nrows\n<!-- end of table -->\nafter\n"
    with pytest.raises(SystemExit, match="no section"):
        write_section(page, "absent", [])


def test_a_finished_run_is_not_run_again_and_one_that_fails_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    (tmp_path / "metrics.json").write_text('{"average_mAP": 0.5}')
    assert metrics_of(tmp_path, "--config=configs/no_such.py") == {"average_mAP": 0.5}
    with pytest.raises(SystemExit, match=r"the run in .*new failed"):
        metrics_of(tmp_path / "new", "--config=configs/no_such.py")


def test_differences_to_float32_are_of_pairs():
    lines = bfloat16_table({0: (80.0, 80.25, 81.0), 1: (70.0, 69.75, 70.5), 2: (60.0, 60.0, 60.0)})
    assert lines[2] == "| 0 | 80.00 | 80.25 | 81.00 |"
    assert lines[-2:] == ["| mean | 70.00 | 70.00 | 70.50 |", "| mean difference |  | +0.00 ± 0.14 | +0.50 ± 0.29 |"]
    assert bfloat16_table({0: (80.0, 80.25, 81.0)})[-1] == "| mean difference |  | +0.25 | +1.00 |"


@pytest.mark.slow
def test_the_start_is_timed():
    from benchmarks.startup import measure

    found = measure("startup_shoulder", runs=1)
    assert 0 < found["seconds"] < found["first_seconds"] and found["peak_gigabytes"] > 0.3
