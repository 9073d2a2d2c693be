"""The table of `make bench`, in Markdown, and its place in docs/performance.md.

python -m benchmarks.table FILE      writes the results of BENCH_JSON=FILE there
"""

import json
import sys
from pathlib import Path

PAGE = Path("docs/performance.md")
COLUMNS = {
    "seconds": "seconds",
    "floor_seconds": "floor s",
    "fraction_of_floor": "of floor",
    "useful_gflop": "GFLOP",
    "matmul_gflop_per_second": "GFLOP/s",
    "fraction_of_matmul_rate": "of rate",
    "moved_gigabytes": "GB",
    "copy_gigabytes_per_second": "GB/s",
    "compile_seconds": "compile",
    "cached_compile_seconds": "cached",
    "peak_gigabytes": "peak GB",
    "videos_per_second": "videos/s",
    "idle_share": "idle",
}


def header() -> list[str]:
    titles = " | ".join(f"{title:>8}" for title in COLUMNS.values())
    return [f"| {'case':<24} | {titles} |", f"|{'-' * 26}|" + f"{'-' * 9}:|" * len(COLUMNS)]


def row(case: str, found: dict) -> str:
    cells = [f"{figure(found[column]) if column in found else '':>8}" for column in COLUMNS]
    return f"| {case:<24} | " + " | ".join(cells) + " |"


def figure(value: float) -> str:
    """Three digits, and no exponent for large values."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def write_section(page: Path, name: str, lines: list[str]) -> None:
    """Replaces what lies between `<!-- name -->` and `<!-- end of name -->` of a Markdown page."""
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
    before, _, rest = page.read_text().partition(begin)
    _, marker, after = rest.partition(end)
    if not marker:
        raise SystemExit(f"error: {page} has no section between {begin.strip()} and {end}")
    page.write_text(before + begin + "\n".join(lines) + "\n" + marker + after)


def main() -> None:
    results = json.loads(Path(sys.argv[1]).read_text())
    write_section(PAGE, "table", header() + [row(case, found) for case, found in results.items()])
    print(f"wrote the table of {PAGE}")


if __name__ == "__main__":
    main()
