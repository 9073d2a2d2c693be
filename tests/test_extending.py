"""docs/extending.md: every change is small and applies, and the proposal net trains."""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest

from tests.helpers.paths import ROOT

PAGE = (ROOT / "docs" / "extending.md").read_text()
CHANGES = re.findall(r"^## ([^\n]+)\n.*?^```diff\n(.*?)^```$", PAGE, re.M | re.S)
MOST_LINES = 20


def apply(diff: str, root) -> None:
    """Applies a change whose places are found by their lines, as the page leaves out the numbers."""
    for part in re.split(r"(?=^--- )", diff, flags=re.M)[1:]:
        header, *hunks = re.split(r"^@@.*\n", part, flags=re.M)
        path = root / re.search(r"^\+\+\+ b/(\S+)", header, re.M)[1]
        text = "" if "--- /dev/null" in header else path.read_text()
        for hunk in hunks:
            lines = hunk.splitlines(keepends=True)
            before = "".join(line[1:] or "\n" for line in lines if line[0] in " -")
            after = "".join(line[1:] or "\n" for line in lines if line[0] in " +")
            assert not before or text.count(before) == 1, f"{path}: not found once:\n{before}"
            text = text.replace(before, after) if before else after
        path.write_text(text)


@pytest.fixture(scope="module")
def changed(tmp_path_factory):
    """A copy of the sources with every change."""
    root = tmp_path_factory.mktemp("changed")
    for name in ("contextloc_jax", "input_pipeline", "configs", "main.py"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, root / name)
    for _, diff in CHANGES:
        apply(diff, root)
    return root


def run(root, code: str) -> str:
    environment = os.environ | {"PYTHONPATH": str(root)}
    process = subprocess.run([sys.executable, "-c", code], cwd=root, env=environment, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    return process.stdout


def test_every_kind_of_change_is_there_and_small():
    assert len(CHANGES) == 5 == PAGE.count("```diff")
    for title, diff in CHANGES:
        changed_lines = [line for line in diff.splitlines() if re.match(r"[-+](?!--|\+\+)", line)]
        assert 0 < len(changed_lines) <= MOST_LINES, title


def test_the_proposal_net_is_trained_by_its_name(changed):
    """A whole tiny run of the changed sources, on made data."""
    flags = [
        "--config=configs/synthetic.py", f"--workdir={changed / 'run'}", "--config.model.proposal_net=mean",
        "--config.model.retrieval=plain", "--config.model.context_width=4", "--config.model.graph_width=4",
        "--config.num_epochs=1", "--config.visits_per_epoch=4", "--config.batch_size=4",
        "--config.data.num_classes=3", "--config.data.synthetic.train_videos=4",
        "--config.data.synthetic.test_videos=2",
        "--config.data.synthetic.feature_width=8", "--config.data.synthetic.shortest_snippets=30",
        "--config.data.synthetic.longest_snippets=60", "--config.data.synthetic.num_proposals=40",
    ]  # fmt: skip
    quick = os.environ | {"XLA_FLAGS": "--xla_backend_optimization_level=0", "PYTHONPATH": str(changed)}
    command = [sys.executable, "main.py", *flags]
    process = subprocess.run(command, cwd=changed, env=quick, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    metrics = json.loads((changed / "run" / "metrics.json").read_text())
    assert metrics["videos"] == 2 and set(metrics["instance_recall"]) == set(metrics["mAP"])
    assert json.loads((changed / "run" / "config.json").read_text())["model.proposal_net"] == "mean"


def test_the_dataset_and_the_ablation_are_known_by_their_names(changed):
    code = (
        "from input_pipeline.datasets import registry\n"
        "from configs import ablations\n"
        "settings = registry._module('diving').SETTINGS\n"
        "print('diving' in registry.NAMES, 'train_proposals' in settings)\n"
        "print(ablations.get_config('narrow').model.context_width)\n"
    )
    assert run(changed, code) == "True True\n128\n"
