"""What pip installs: the wheel's files, the `contextloc` command outside the repository, and lists that must agree."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import contextloc_jax
from tests.helpers.paths import ROOT

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SHIPPED = ("contextloc_jax", "input_pipeline", "configs")


def pins() -> dict[str, list[Requirement]]:
    """The requirements of requirements.txt and requirements-dev.txt by name; a name has several for several Pythons."""
    found: dict[str, list[Requirement]] = {}
    for name in ("requirements.txt", "requirements-dev.txt"):
        for line in (ROOT / name).read_text().splitlines():
            if line and not line.startswith(("#", "-r")):
                pin = Requirement(line)
                found.setdefault(pin.name, []).append(pin)
    return found


def test_every_pin_is_in_the_range_that_pip_may_choose_from():
    declared = [*PYPROJECT["project"]["dependencies"], *PYPROJECT["project"]["optional-dependencies"]["dev"]]
    absent = set()
    for dependency in map(Requirement, declared):
        absent |= {dependency.name} - set(pins())
        for pin in pins().get(dependency.name, []):
            (version,) = (specifier.version for specifier in pin.specifier)
            assert dependency.specifier.contains(version), f"{pin} is not in {dependency}"
            markers = (str(dependency.marker), str(pin.marker))
            assert not dependency.marker or markers[0] == markers[1], f"{pin} and {dependency}"
    assert absent <= {"pre-commit"}  # tests do not need it


def test_ruff_is_one_version_everywhere():
    (pin,) = pins()["ruff"]
    hooks = (ROOT / ".pre-commit-config.yaml").read_text()
    assert re.findall(r"ruff-pre-commit\n\s+rev: v(\S+)", hooks) == [str(pin.specifier).removeprefix("==")]


def test_every_folder_with_code_is_installed():
    folders = {path.parent.relative_to(ROOT) for package in SHIPPED[:2] for path in (ROOT / package).rglob("*.py")}
    others = {"contextloc_jax.configs", "contextloc_jax.report.assets"}
    listed = PYPROJECT["tool"]["setuptools"]["packages"]
    assert listed == sorted({".".join(folder.parts) for folder in folders} | others)


def test_the_public_names_are_those_that_type_checkers_see():
    tree = ast.parse(Path(contextloc_jax.__file__).read_text())
    (block,) = (node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    (statement,) = block.body
    assert isinstance(statement, ast.ImportFrom) and statement.module == "contextloc_jax.api"
    assert sorted(alias.name for alias in statement.names) == sorted(contextloc_jax.__all__)
    assert set(contextloc_jax.__all__) <= set(dir(contextloc_jax))


@pytest.mark.parametrize("name", contextloc_jax.__all__)
def test_a_public_name_is_found_when_it_is_used(name):
    from contextloc_jax import api

    assert getattr(contextloc_jax, name) is getattr(api, name)


def test_a_name_that_is_not_public_is_not_found():
    with pytest.raises(AttributeError, match=r"^module 'contextloc_jax' has no attribute 'Localiser'$"):
        _ = contextloc_jax.Localiser


def pip(*arguments: object) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Built from a copy of the sources, as setuptools leaves its folder build/ among them."""
    source, built = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    shutil.copytree(ROOT, source, dirs_exist_ok=True, ignore=lambda folder, names: [
        name for name in names if name.startswith(".") or name in ("runs", "build", "__pycache__", "golden")
    ])  # fmt: skip
    pip("wheel", "--no-deps", "--no-build-isolation", "--no-index", f"--wheel-dir={built}", source)
    (path,) = built.iterdir()
    return path


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """A folder with the wheel's packages and bin/contextloc; what they depend on is the environment's."""
    folder = tmp_path_factory.mktemp("installed")
    pip("install", "--no-deps", "--no-index", f"--target={folder}", wheel)
    return folder


@pytest.mark.slow
def test_the_wheel_has_the_packages_and_nothing_else(wheel):
    files = set(zipfile.ZipFile(wheel).namelist())
    version = contextloc_jax.__version__
    sources = {path.relative_to(ROOT) for package in SHIPPED for path in (ROOT / package).rglob("*.py")}
    assets = {path.relative_to(ROOT) for path in (ROOT / "contextloc_jax" / "report" / "assets").iterdir()}
    expected = {str(path) for path in sources | assets} | {"contextloc_jax/py.typed"}
    expected = {re.sub(r"^configs/", "contextloc_jax/configs/", name) for name in expected}
    assert {name for name in files if not name.startswith(f"contextloc_jax-{version}.dist-info/")} == expected
    assert f"contextloc_jax-{version}.dist-info/licenses/LICENSE" in files


@pytest.mark.slow
def test_the_command_runs_outside_the_repository(installed, tmp_path):
    def run(*command: object) -> subprocess.CompletedProcess:
        environment = os.environ | {"PYTHONPATH": str(installed)}
        return subprocess.run(list(map(str, command)), cwd=tmp_path, env=environment, capture_output=True, text=True)

    instances = [{"label": "jump", "segment": [5, 10]}, {"label": "run", "segment": [20, 31]}]
    database = {"v1": {"subset": "test", "duration": 60.0, "annotations": instances}}
    (tmp_path / "truth.json").write_text(json.dumps({"database": database}))
    results = {"v1": [instance | {"score": 0.9} for instance in instances]}
    (tmp_path / "found.json").write_text(json.dumps({"results": results}))
    contextloc = installed / "bin" / "contextloc"
    files = ("--detections=found.json", "--annotations=truth.json", "--protocol=thumos14")
    scored = run(contextloc, "--mode=score", *files, "--workdir=out")
    assert scored.returncode == 0, scored.stderr
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["average_mAP"] == 1
    assert "<html" in (tmp_path / "out" / "report.html").read_text()

    wrong = run(contextloc, "--config=shouldr", "--workdir=new")
    assert wrong.returncode == 2 and " shoulder," in wrong.stderr and len(wrong.stderr.splitlines()) == 1
    for name in ("shoulder", "configs/shoulder.py", "thumos14:flow"):
        evaluated = run(contextloc, f"--config={name}", "--workdir=new", "--mode=evaluate")
        assert evaluated.returncode == 1 and "no checkpoints here" in evaluated.stderr, evaluated.stderr
    prepared = run(contextloc, "--config=shoulder", "--workdir=new", "--mode=prepare")
    assert prepared.returncode == 0 and "shoulder test: 24 of 24 videos" in prepared.stdout, prepared.stderr

    where = run(sys.executable, "-c", "import contextloc_jax, input_pipeline; print(contextloc_jax.__file__)")
    assert where.stdout.strip() == str(installed / "contextloc_jax" / "__init__.py")
    alien = run(sys.executable, "-c", "import configs")
    assert alien.returncode == 1 and "No module named 'configs'" in alien.stderr
