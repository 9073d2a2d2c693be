"""Who may import whom: the rooms of the house in one table, checked on every import statement of every file.

The source is read, not sys.modules: tensorflow itself imports jax where jax is installed.
"""

import ast
import graphlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.helpers.absent_packages import OURS, import_all
from tests.helpers.paths import ROOT

GEOMETRY = "localization.alignment localization.neighbors localization.tree proposals.sliding_windows"  # NumPy alone
GROUND = "core features proposals localization devices workdir evaluation interchange"

# Room: what it may import beside itself. The rooms of contextloc_jax by their short names.
MAY_IMPORT = {
    "core": "",
    "features": "core",
    "proposals": "core",
    "localization": "core",
    "devices": "core",
    "workdir": "core",
    "evaluation": "core",
    "interchange": "core",
    "training": "core devices workdir",
    "report": "core evaluation",
    "commands": f"{GROUND} training report",
    "api": f"{GROUND} training report commands input_pipeline",
    "contextloc_jax": "api",  # __init__.py
    "command_line": f"{GROUND} training report commands input_pipeline",
    "main": "command_line",
    "configs": "",
    "input_pipeline.videos": "core",
    "input_pipeline.formats": "core input_pipeline.videos",
    "input_pipeline.datasets": f"core evaluation {GEOMETRY} input_pipeline.videos input_pipeline.formats",
    "input_pipeline.batches": f"core {GEOMETRY} input_pipeline.videos input_pipeline.datasets",
    "input_pipeline.inputs": f"core {GEOMETRY} input_pipeline",
    "input_pipeline": "",  # __init__.py
    "benchmarks": f"{GROUND} training report commands api configs input_pipeline",
}
ONLY_INSIDE_FUNCTIONS = {"api": "input_pipeline", "contextloc_jax": "api"}

TENSORFLOW = {"tensorflow", "tensorflow_datasets", "tensorboard", "clu"}
JAX = {"jax", "jaxlib", "flax", "optax", "orbax", "chex"}
NEVER = {"contextloc_jax": TENSORFLOW | {"ml_collections", "av"}, "input_pipeline": JAX | {"ml_collections"}}
BUT = {"command_line"}  # it reads the configuration and hands in what writes TensorBoard's events

# What runs where neither jax nor TensorFlow is installed: rooms and modules, but for NOT_PLAIN.
PLAIN = (
    "contextloc_jax core evaluation report interchange localization.decode localization.fusion "
    f"localization.class_scores {GEOMETRY} "
    "commands.score commands.compare commands.fuse commands.results commands.evaluated_runs "
    "workdir.config_file workdir.scalar_log workdir.lock devices.host_memory devices.preemption "
    "input_pipeline.formats input_pipeline.videos input_pipeline.batches input_pipeline.datasets.video_source "
    "input_pipeline.datasets.split_files input_pipeline.datasets.data_report input_pipeline.inputs"
)
NOT_PLAIN = {"core.precision"}
NAMED_TUPLE = {"_asdict", "_field_defaults", "_fields", "_make", "_replace"}  # public, whatever they look like


class Import(NamedTuple):
    """One imported module, or one name imported from it."""

    module: str
    name: str | None
    on_import: bool  # executed when the file itself is imported, not in a function or for type checkers alone


def sources(*places: str) -> list[Path]:
    """The Python files of these folders, and these files."""
    found = [path for place in places for path in [ROOT / place, *sorted((ROOT / place).rglob("*.py"))]]
    return [path for path in found if path.is_file()]


LIBRARY = sources("contextloc_jax", "input_pipeline", "configs", "benchmarks", "main.py")


def module_of(path: Path) -> str:
    """contextloc_jax/core/files.py -> core.files, input_pipeline/inputs.py -> input_pipeline.inputs."""
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    return name.removeprefix("contextloc_jax.")


def is_module(name: str) -> bool:
    place = ROOT.joinpath(*name.split("."))
    return place.is_dir() or place.with_suffix(".py").is_file()


def imports(path: Path) -> Iterator[Import]:
    """Every import of a file, also those inside functions."""

    def visit(node: ast.AST, on_import: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                yield from (Import(alias.name, None, on_import) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, f"{path}:{child.lineno}: a relative import"
                for alias in child.names:
                    inner = f"{child.module}.{alias.name}"
                    found = (inner, None) if is_module(inner) else (str(child.module), alias.name)
                    yield Import(*found, on_import)
            else:
                later = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) or (
                    isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"
                )
                yield from visit(child, on_import and not later)

    yield from visit(ast.parse(path.read_text("utf-8")), True)


def ours(path: Path) -> Iterator[Import]:
    """The imports of our own modules, by the names of the table."""
    for found in imports(path):
        if found.module.split(".")[0] in OURS:
            yield found._replace(module=found.module.removeprefix("contextloc_jax."))


def is_in(module: str, places: str) -> bool:
    """Whether a module is one of these rooms and modules, or lies in one."""
    return any(module == place or module.startswith(f"{place}.") for place in places.split())


def room_of(path: Path) -> str:
    """The room of a file; its own name where it lies in none."""
    module = module_of(path)
    lies_in = (room for room in MAY_IMPORT if is_in(module, room) and (room != "input_pipeline" or module == room))
    return next(lies_in, module)


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_a_room_imports_what_the_table_allows(room):
    allowed = f"{room} {MAY_IMPORT[room]}"
    wrong = []
    for path in (path for path in LIBRARY if room_of(path) == room):
        for found in ours(path):
            too_early = found.on_import and is_in(found.module, ONLY_INSIDE_FUNCTIONS.get(room, ""))
            if not is_in(found.module, allowed) or too_early:
                wrong.append(f"{module_of(path)} imports {found.module}{' on import' * too_early}")
    assert not wrong


def test_every_file_has_a_room():
    assert {room_of(path) for path in LIBRARY} <= set(MAY_IMPORT)


def test_the_package_has_rooms_and_no_loose_files():
    names = {path.name for path in (ROOT / "contextloc_jax").iterdir()} - {"__pycache__"}
    rooms = {room for room in MAY_IMPORT if (ROOT / "contextloc_jax" / room).is_dir()}
    assert len(rooms) >= 10
    assert names - rooms <= {"__init__.py", "api.py", "command_line.py", "py.typed"}


@pytest.mark.parametrize("package", NEVER)
def test_the_model_side_imports_no_tensorflow_and_the_pipeline_no_jax(package):
    wrong = {
        f"{module_of(path)} imports {found.module}"
        for path in sources(package)
        for found in imports(path)
        if found.module.split(".")[0] in NEVER[package] and module_of(path) not in BUT
    }
    assert not wrong


def test_no_module_imports_itself_through_others():
    graph = {module_of(path): {found.module for found in ours(path) if found.on_import} for path in LIBRARY}
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        pytest.fail(f"a circle: {' -> '.join(reversed(error.args[1]))}")


def private_uses(path: Path) -> set[str]:
    """Private names of our other modules that a file imports, or reads from a module: module._name."""
    found = {f"{seen.module}.{seen.name}" for seen in ours(path) if (seen.name or "").startswith("_")}
    tree = ast.parse(path.read_text("utf-8"))
    modules = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and str(node.module).split(".")[0] in OURS
        for alias in node.names
    }
    return found | {
        ast.unparse(node)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules
        if node.attr.startswith("_") and not node.attr.startswith("__") and node.attr not in NAMED_TUPLE
    }


@pytest.mark.parametrize("path", LIBRARY, ids=module_of)
def test_private_names_stay_in_their_module(path):
    assert not private_uses(path)


def test_every_file_is_short_enough_to_read():
    places = ("contextloc_jax", "input_pipeline", "benchmarks", "configs")
    suffixes = {".py", ".js", ".css", ".html"}
    files = [path for place in places for path in (ROOT / place).rglob("*") if path.suffix in suffixes]
    assert len(files) > 100
    long = {str(path.relative_to(ROOT)) for path in [*files, ROOT / "main.py"] if path.read_text().count("\n") >= 300}
    assert not long


def test_what_needs_neither_jax_nor_tensorflow_runs_without_them():
    plain = {place: [name for name in map(module_of, LIBRARY) if is_in(name, place)] for place in PLAIN.split()}
    assert not [place for place, modules in plain.items() if not modules]
    modules = [name for names in plain.values() for name in names if name not in NOT_PLAIN]
    assert import_all(modules, TENSORFLOW | JAX | {"ml_collections", "torch", "h5py", "seglearn", "av"}) == []


def test_both_sides_import_where_tensorflow_is_not_installed():
    modules = [module_of(path) for path in sources("contextloc_jax") if module_of(path) not in BUT]
    pipeline = ["input_pipeline.inputs", "input_pipeline.batches.stream", "input_pipeline.formats.features"]
    blocked = TENSORFLOW | {"ml_collections", "torch", "h5py", "seglearn", "av"}
    assert import_all([*modules, *pipeline], blocked) == []


def test_the_readers_of_imports_see_them(tmp_path):
    """Else the tests above would pass on anything."""
    (tmp_path / "a.py").write_text(
        "import numpy.linalg\nif TYPE_CHECKING:\n    from os import path\n"
        "def f():\n    from contextloc_jax.core import files, _hidden\n    return files._shown, files.read_text\n"
    )
    assert list(imports(tmp_path / "a.py")) == [
        Import("numpy.linalg", None, True),
        Import("os", "path", False),
        Import("contextloc_jax.core.files", None, False),
        Import("contextloc_jax.core", "_hidden", False),
    ]
    assert private_uses(tmp_path / "a.py") == {"core._hidden", "files._shown"}
    assert import_all(["core.files", "core.precision"], JAX) != [] == import_all(["core.files"], JAX)
