"""docs/own_data.md, run as it stands."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from tests.helpers.paths import ROOT


def code_blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", (ROOT / "docs" / "own_data.md").read_text(), re.S | re.M)


def run(command: list[str] | str, folder: Path) -> str:
    quick = {"XLA_FLAGS": "--xla_backend_optimization_level=0", "PYTHONPATH": str(ROOT)}
    process = subprocess.run(
        command, cwd=folder, shell=isinstance(command, str), capture_output=True, text=True, env=os.environ | quick,
        timeout=400,
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    return process.stdout


def test_the_tutorial_runs_as_it_stands(tmp_path):
    for name in ("main.py", "configs", "contextloc_jax", "input_pipeline"):
        (tmp_path / name).symlink_to(ROOT / name)
    (script,) = code_blocks("python")
    (tmp_path / "make_tiny.py").write_text(script)
    run([sys.executable, "make_tiny.py"], tmp_path)
    prepare, train, predict = (block.replace(".venv/bin/python", sys.executable) for block in code_blocks("bash"))
    workdir = tmp_path / "runs" / "tiny"

    lines = run(prepare, tmp_path).splitlines()
    assert [line.split(",")[0] for line in lines] == ["custom train: 16 of 16 videos", "custom test: 6 of 6 videos"]
    assert json.loads((workdir / "data_report.json").read_text())["splits"]["test"]["kept"] == 6

    run(train, tmp_path)
    metrics = json.loads((workdir / "metrics.json").read_text())
    assert metrics["videos"] == 6 and set(metrics["AP"]) == {"jump", "sit", "wave"}
    assert metrics["mAP"]["0.5"] > 0.5  # by chance 0.03

    run(predict, tmp_path)
    predictions = workdir / "predictions"
    results = json.loads((predictions / "detections.json").read_text())["results"]
    assert sorted(results) == [f"test_{i:02d}" for i in range(6)]
    assert {found["label"] for video in results.values() for found in video} == {"jump", "sit", "wave"}
    assert len((predictions / "detections.csv").read_text().splitlines()) == 1 + sum(map(len, results.values()))
    assert "<html" in (predictions / "report.html").read_text()
