"""Runs every row of configs/ablations.py with several seeds and writes the table docs/ablations.md.

python -m benchmarks.ablations --workdir=runs/ablations --seeds=0,1,2
"""

import argparse
import statistics
from pathlib import Path

from benchmarks.trained_runs import metrics_of, seed_list
from configs.ablations import ROWS

COLUMNS = ("0.3", "0.5", "0.7", "average")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workdir", default="runs/ablations")
    parser.add_argument("--seeds", type=seed_list, default="0,1,2")
    parser.add_argument("--output", default="docs/ablations.md")
    arguments = parser.parse_args()
    results = {name: [run(name, seed, Path(arguments.workdir)) for seed in arguments.seeds] for name in ROWS}
    Path(arguments.output).write_text(table(results, arguments.seeds))
    print(f"wrote {arguments.output}")


def run(name: str, seed: int, workdir: Path) -> dict:
    """The metrics of one row and seed."""
    return metrics_of(workdir / f"{name}_{seed}", f"--config=configs/ablations.py:{name}", f"--config.seed={seed}")


def table(results: dict[str, list[dict]], seeds: list[int]) -> str:
    """Markdown: one row for each ablation, mean +- standard deviation over seeds, in percent."""
    lines = [
        "# Ablations on `shoulder`",
        "",
        f"mAP in percent on the test people, mean ± standard deviation over the training seeds {seeds};",
        "the data are the same for all. Made by `make ablations`, with no run left out; `configs/ablations.py` defines",
        "the rows. The settings were chosen for ContextLoc. All rows share them, except for P-GCN's learning rate.",
        "",
        "| model | " + " | ".join(f"mAP@{c}" if c != "average" else "average 0.3..0.7" for c in COLUMNS) + " |",
        "|---|" + "---|" * len(COLUMNS),
    ]
    for name, runs in results.items():
        cells = [cell([value(metrics, column) for metrics in runs]) for column in COLUMNS]
        lines.append(f"| {ROWS[name][0]} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def value(metrics: dict, column: str) -> float:
    return metrics["average_mAP"] if column == "average" else metrics["mAP"][column]


def cell(values: list[float]) -> str:
    return f"{100 * statistics.mean(values):.1f} ± {100 * statistics.stdev(values):.1f}"


if __name__ == "__main__":
    main()
