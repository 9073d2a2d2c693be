"""Tests mirror the rooms: tests/ROOM/test_MODULE.py tests MODULE of contextloc_jax/ROOM or of input_pipeline/ROOM.

A longer subject may follow the module's name, as in test_contextloc_invariance.py. Golden tests (test_golden_*.py)
compare with tests/golden, whatever modules that takes.
"""

import re
from pathlib import Path

from tests.helpers.paths import ROOT

TESTS = sorted((ROOT / "tests").rglob("test_*.py"))
FILES = [*TESTS, *sorted((ROOT / "tests" / "helpers").glob("*.py"))]
PACKAGES = ("contextloc_jax", "input_pipeline")
OF_NO_MODULE = {"configs", "docs", "extending", "imports", "layout", "own_data", "packaging"}  # what they read instead
# Modules without behavior of their own, or whose behavior is seen only through another's.
TESTED_THROUGH_ANOTHER = {
    "commands/export_torch": "commands/test_import_torch.py",
    "commands/inputs": "test_inputs.py",
    "commands/results": "commands/test_evaluate.py",
    "commands/trained": "devices/test_inference.py",
    "devices/kinds": "devices/test_parallel.py",
    "devices/mesh": "devices/test_parallel.py",
    "devices/pmap": "devices/test_parallel.py",
    "localization/g_net": "localization/test_l_net_and_g_net.py",
    "localization/initializers": "localization/test_l_net_and_g_net.py",
    "batches/padding": "batches/test_training_batches.py",
    "datasets/synthetic_videos": "datasets/test_synthetic.py",
    "formats/proposal_list_text": "formats/test_proposal_list.py",
    "videos/records": "datasets/test_video_source.py",
}


def relative(path: Path) -> str:
    return path.relative_to(ROOT / "tests").as_posix()


def modules_of(room: str) -> set[str]:
    """Names of the modules that the tests of tests/ROOM may test; '' for those that lie in no room."""
    folders = [ROOT / room] if room == "benchmarks" else [ROOT / package / room for package in PACKAGES]
    return {path.stem.strip("_") for folder in folders for path in folder.glob("*.py")}


def is_named_after(stem: str, modules: set[str]) -> bool:
    """Whether test_STEM.py has the name of one of the modules, perhaps with a subject behind it."""
    return any(re.fullmatch(rf"{module}(_.+)?", stem) for module in modules)


def test_every_test_file_has_the_name_of_a_module_of_its_room():
    others = []
    for path in TESTS:
        room, stem = relative(path.parent).removeprefix("."), path.stem.removeprefix("test_")
        of_no_module = stem.startswith("golden_") if room else stem in OF_NO_MODULE
        others += [relative(path)] * (not of_no_module and not is_named_after(stem, modules_of(room)))
    assert not others


def test_every_module_has_a_test_file():
    missing = set()
    for path in (path for package in PACKAGES for path in (ROOT / package).rglob("*.py") if path.stem != "__init__"):
        room = path.relative_to(ROOT).parent.as_posix().partition("/")[2]
        stems = [test.stem.removeprefix("test_") for test in (ROOT / "tests" / room).glob("test_*.py")]
        missing |= {f"{room}/{path.stem}"} if not any(is_named_after(stem, {path.stem}) for stem in stems) else set()
    assert missing == set(TESTED_THROUGH_ANOTHER)
    assert not [name for name in TESTED_THROUGH_ANOTHER.values() if not (ROOT / "tests" / name).is_file()]


def test_tests_share_through_helpers_alone():
    found = {relative(path): re.findall(r"\btests\.(?!helpers\b)[a-z_]+[\w.]*", path.read_text()) for path in FILES}
    assert not {name: places for name, places in found.items() if places}


def test_every_file_of_tests_is_short_enough_to_read():
    assert len(FILES) > 100
    assert not [relative(path) for path in FILES if path.read_text().count("\n") >= 300]
