"""Every benchmark in one table, and as JSON where BENCH_JSON names a file: python -m benchmarks (make bench)."""

import importlib.util
import json
import os

COLUMNS = {
    "seconds": "seconds",
    "compile_seconds": "compile s",
    "useful_gflop": "GFLOP",
    "matmul_gflop_per_second": "rate",
    "fraction_of_matmul_rate": "of rate",
    "videos_per_second": "videos/s",
    "idle_share": "idle",
}


def main() -> None:
    import jax

    from benchmarks import evaluation, model_speed

    print(f"{jax.default_backend()}: {jax.devices()[0].device_kind}, {os.cpu_count()} cores", flush=True)
    results = {}
    print(f"{'case':<24}" + "".join(f"{title:>10}" for title in COLUMNS.values()))
    for name, size in model_speed.CASES.items():
        report(results, model_speed.measure({name: size}))
    report(results, evaluation.measure())
    if importlib.util.find_spec("tensorflow"):
        from benchmarks import pipeline

        report(results, pipeline.measure())
    if path := os.environ.get("BENCH_JSON"):
        with open(path, "w") as file:
            json.dump(results, file, indent=2)
        print(f"wrote {path}")


def report(results: dict, found: dict[str, dict[str, float]]) -> None:
    """Adds the cases to `results` and prints a row for each."""
    results.update(found)
    for name, case in found.items():
        cells = [f"{case[column]:>10.4g}" if column in case else " " * 10 for column in COLUMNS]
        print(f"{name:<24}" + "".join(cells).rstrip(), flush=True)


if __name__ == "__main__":
    main()
