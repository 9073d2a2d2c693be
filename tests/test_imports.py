"""Who imports what: by the source's import statements, since tensorflow itself imports jax where it is installed."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.paths import ROOT

TENSORFLOW = {"tensorflow", "tensorflow_datasets", "tensorboard", "clu"}
JAX = {"jax", "jaxlib", "flax", "optax", "orbax", "chex"}
# What runs where neither is installed: reading files, scoring, comparing and fusing.
PLAIN_PIPELINE = ("records", "annotations", "proposal_list", "proposal_files", "features", "labels", "neighbors",
                  "sampling", "alignment", "batching", "video_source", "split_files", "data_report", "timing",
                  "windows")  # fmt: skip
PLAIN_EVALUATION = ("detections", "suppression", "matching", "metrics", "diagnosis", "significance", "detection_files",
                    "report", "timelines", "curves", "class_scores", "evaluate", "scalar_log", "run_config", "progress",
                    "json_file", "batch", "errors", "score_commands", "score_tables")  # fmt: skip


def sources(package: str) -> list[Path]:
    found = sorted((ROOT / package).rglob("*.py"))
    assert found
    return found


def imported(path: Path, everywhere: bool = True) -> set[str]:
    """Dotted names of the modules that a file imports; only when it is imported itself, or also inside functions."""
    tree = ast.parse(path.read_text("utf-8"))
    nodes = ast.walk(tree) if everywhere else executed_on_import(tree)
    names = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def executed_on_import(tree):
    for node in ast.iter_child_nodes(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield node
            yield from executed_on_import(node)


def top_level(names) -> set[str]:
    return {name.split(".")[0] for name in names}


def reachable(path: Path) -> set[str]:
    """Top-level packages imported by importing this file, through the project's own modules."""
    seen, packages, waiting = set(), set(), [path]
    while waiting:
        current = waiting.pop()
        seen.add(current)
        for name in imported(current, everywhere=False):
            module = ROOT.joinpath(*name.split("."))
            files = [file for file in (module.with_suffix(".py"), module / "__init__.py") if file.is_file()]
            waiting += [file for file in files if file not in seen]
            packages.add(name.split(".")[0])
    return packages


@pytest.mark.parametrize("path", sources("contextloc_jax"), ids=lambda path: path.stem)
def test_the_model_side_imports_no_tensorflow_and_no_pipeline(path):
    assert not top_level(imported(path)) & (TENSORFLOW | {"ml_collections", "input_pipeline", "configs", "main"})


@pytest.mark.parametrize("path", sources("input_pipeline"), ids=lambda path: path.stem)
def test_the_pipeline_imports_no_jax_and_of_the_model_side_only_structs_and_files(path):
    names = imported(path)
    assert not top_level(names) & (JAX | {"configs", "main"})
    modules = {name.split(".")[1] for name in names if name.startswith("contextloc_jax.")}
    assert modules <= {"batch", "errors", "json_file", "upper_bounds"}


@pytest.mark.parametrize("name", PLAIN_PIPELINE)
def test_reading_and_sampling_work_without_tensorflow(name):
    assert not reachable(ROOT / "input_pipeline" / f"{name}.py") & (TENSORFLOW | JAX)


@pytest.mark.parametrize("name", PLAIN_EVALUATION)
def test_evaluation_works_without_jax(name):
    assert not reachable(ROOT / "contextloc_jax" / f"{name}.py") & (TENSORFLOW | JAX)


def test_the_readers_of_imports_see_them(tmp_path):
    """Else the tests above would pass on anything."""
    (tmp_path / "a.py").write_text(
        "import numpy.linalg\nif True:\n    from os import path\ndef f():\n    import jax.numpy\n"
    )
    assert imported(tmp_path / "a.py") == {"numpy.linalg", "os", "os.path", "jax.numpy"}
    assert imported(tmp_path / "a.py", everywhere=False) == {"numpy.linalg", "os", "os.path"}
    assert "jax" in reachable(ROOT / "contextloc_jax" / "commands.py")


def test_both_sides_import_where_tensorflow_is_not_installed():
    """A None in sys.modules makes `import` fail, as an absent package does."""
    blocked = sorted(TENSORFLOW | {"ml_collections", "torch", "h5py", "seglearn"})
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({blocked}))\n"
        "import contextloc_jax, contextloc_jax.commands, contextloc_jax.report\n"
        "import input_pipeline.pipeline, input_pipeline.features, input_pipeline.factories\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
