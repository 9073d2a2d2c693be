"""mAP of configs/shoulder.py in float32 and in bfloat16: the same checkpoints scored in both types, and runs trained in
both types.

python -m benchmarks.bfloat16 --workdir=runs/bfloat16 --seeds=0,1,2,3,4,5,6,7,8,9
writes the section of docs/performance.md; it takes three to five minutes per seed on two cores
"""

import argparse
import shutil
import statistics
from pathlib import Path

from benchmarks.table import PAGE, write_section
from benchmarks.trained_runs import metrics_of, seed_list

WAYS = ("trained and scored in float32", "the same checkpoint scored in bfloat16", "trained and scored in bfloat16")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workdir", default="runs/bfloat16")
    parser.add_argument("--seeds", type=seed_list, default="0,1,2,3,4,5,6,7,8,9")
    arguments = parser.parse_args()
    found = {seed: measured(seed, Path(arguments.workdir)) for seed in arguments.seeds}
    lines = table(found)
    write_section(PAGE, "bfloat16", lines)
    print("\n".join(lines))


def measured(seed: int, workdir: Path) -> tuple[float, float, float]:
    """Average mAP in percent of the three WAYS."""
    shoulder = ["--config=configs/shoulder.py", f"--config.seed={seed}"]
    in_bfloat16 = [*shoulder, "--config.dtype=bfloat16"]
    trained, scored = workdir / f"float32_{seed}", workdir / f"scored_{seed}"
    metrics = [metrics_of(trained, *shoulder)]
    if not scored.exists():
        shutil.copytree(trained / "checkpoints", scored / "checkpoints")
    metrics.append(metrics_of(scored, *in_bfloat16, "--mode=evaluate"))
    metrics.append(metrics_of(workdir / f"bfloat16_{seed}", *in_bfloat16))
    return tuple(100 * each["average_mAP"] for each in metrics)


def table(found: dict[int, tuple[float, float, float]]) -> list[str]:
    """Markdown: one row for each seed, their mean, and the mean difference to float32 with its standard error."""
    columns = list(zip(*found.values(), strict=True))
    lines = ["| seed | " + " | ".join(WAYS) + " |", "|---|" + "---:|" * len(WAYS)]
    lines += [f"| {seed} | " + " | ".join(f"{value:.2f}" for value in row) + " |" for seed, row in found.items()]
    lines.append("| mean | " + " | ".join(f"{statistics.mean(column):.2f}" for column in columns) + " |")
    differences = [difference(column, columns[0]) for column in columns[1:]]
    return [*lines, "| mean difference |  | " + " | ".join(differences) + " |"]


def difference(values: tuple[float, ...], baseline: tuple[float, ...]) -> str:
    """'+0.12 ± 0.34': the mean of the differences of all seeds, and its standard error (not for one seed)."""
    pairs = [a - b for a, b in zip(values, baseline, strict=True)]
    error = f" ± {statistics.stdev(pairs) / len(pairs) ** 0.5:.2f}" if len(pairs) > 1 else ""
    return f"{statistics.mean(pairs):+.2f}{error}"


if __name__ == "__main__":
    main()
