"""Evaluates a run whose newest checkpoint is damaged: once for each of its files and each damage, in one process.

python -m tests.helpers.damaged_checkpoints WORKDIR FLAGS...     prints what came of each as a line of JSON
"""

import contextlib
import io
import json
import shutil
import sys
import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path

from contextloc_jax import command_line

RESULTS = ("scores.npz", "metrics.json", "detections.json")
DAMAGES = {
    "whole": lambda path: None,
    "deleted": Path.unlink,
    "cut in half": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "emptied": lambda path: path.write_bytes(b""),
}


def newest(workdir: Path) -> Path:
    """The folder of the newest checkpoint."""
    return max((workdir / "checkpoints").iterdir(), key=lambda path: int(path.name))


def damaged_copies(workdir: Path, scratch: Path) -> Iterator[tuple[str, str, Path]]:
    """(file, damage, a copy of the run, without results, in which it is damaged so), one after the other."""
    files = sorted(path.relative_to(workdir) for path in newest(workdir).rglob("*") if path.is_file())
    for number, (file, damage) in enumerate((file, damage) for file in files for damage in DAMAGES):
        copy = scratch / str(number)
        shutil.copytree(workdir, copy, ignore=shutil.ignore_patterns(*RESULTS))
        DAMAGES[damage](copy / file)
        yield str(file), damage, copy
        shutil.rmtree(copy)


def outcome(copy: Path) -> dict:
    """What a user would see of `main.py --mode=evaluate` there, and the results as text."""
    command_line.FLAGS.workdir = str(copy)
    out, err, code = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            command_line.main(["main.py"])
        except SystemExit as error:
            print(error.code, file=sys.stderr)
            code = 1
        except Exception:
            traceback.print_exc()
            code = 1
    left = {name: (copy / name).read_bytes().hex() for name in RESULTS if (copy / name).exists()}
    return {"code": code, "out": out.getvalue(), "err": err.getvalue(), "results": left}


if __name__ == "__main__":
    command_line.parse(["main.py", "--mode=evaluate", "--checkpoint=latest", "--workdir=unset", *sys.argv[2:]])
    with tempfile.TemporaryDirectory() as folder:
        for file, damage, copy in damaged_copies(Path(sys.argv[1]), Path(folder)):
            print(json.dumps({"file": file, "damage": damage} | outcome(copy)), flush=True)
