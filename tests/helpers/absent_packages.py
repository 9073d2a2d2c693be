"""What can be imported where packages are not installed."""

import subprocess
import sys

from tests.helpers.paths import ROOT

OURS = {"contextloc_jax", "input_pipeline", "configs", "benchmarks", "main", "tests"}  # top-level names


def import_all(modules: list[str], blocked: set[str]) -> list[str]:
    """The modules that cannot be imported where the packages `blocked` are not installed, each with the reason.

    modules: full names, or those of contextloc_jax without it ('core.files'). A None in sys.modules makes `import`
    fail, as an absent package does.
    """
    names = [name if name.split(".")[0] in OURS else f"contextloc_jax.{name}" for name in modules]
    code = (
        f"import importlib, sys\nsys.modules.update(dict.fromkeys({sorted(blocked)}))\n"
        f"for name in {names}:\n"
        "    try:\n        importlib.import_module(name)\n"
        "    except ImportError as error:\n        print(f'{name}: {error}')\n"
    )
    process = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    return process.stdout.splitlines()
