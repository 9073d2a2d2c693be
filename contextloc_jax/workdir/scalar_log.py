"""The scalars of a run in one file of JSON lines, workdir/scalars.jsonl. The report draws its curves from it."""

import json
from collections import defaultdict
from pathlib import Path

FILE_NAME = "scalars.jsonl"


class ScalarLog:
    """Writes scalars to the file and to a TensorBoard writer (anything with write_scalars(step, scalars)).

    A resumed run removes the lines of steps after `start_step`, because it will take these steps again.
    """

    def __init__(self, workdir: str | Path, start_step: int, tensorboard):
        self._path, self._tensorboard = Path(workdir) / FILE_NAME, tensorboard
        kept = [line for line in _whole_lines(self._path) if json.loads(line)["step"] <= start_step]
        self._path.write_text("".join(kept))

    def write_scalars(self, step: int, scalars: dict[str, float]) -> None:
        with self._path.open("a") as file:
            file.write(json.dumps({"step": step, **scalars}) + "\n")
        self._tensorboard.write_scalars(step, scalars)


def read_curves(workdir: str | Path) -> dict[str, tuple[list[int], list[float]]]:
    """{name: (steps, values)} of every scalar of a run; empty if nothing was logged."""
    path = Path(workdir) / FILE_NAME
    curves = defaultdict(lambda: ([], []))
    for line in _whole_lines(path):
        scalars = json.loads(line)
        step = scalars.pop("step")
        for name, value in scalars.items():
            curves[name][0].append(step)
            curves[name][1].append(value)
    return dict(curves)


def _whole_lines(path: Path) -> list[str]:
    """The complete lines. A run that is killed may leave part of a line at the end."""
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    return [line for line in lines if line.endswith("\n")]
