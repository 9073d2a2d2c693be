"""The table of `make bench`, in Markdown, and its place in docs/performance.md.

python -m benchmarks.table FILE [SECTION]      writes the results of BENCH_JSON=FILE there; SECTION: table, accelerator
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
    "useful_gflop_per_second": "GFLOP/s",
    "matmul_gflop_per_second": "rate",
    "fraction_of_matmul_rate": "of rate",
    "moved_gigabytes": "GB",
    "copy_gigabytes_per_second": "GB/s",
    "compile_seconds": "compile",
    "cached_compile_seconds": "cached",
    "peak_gigabytes": "peak GB",
    "peak_device_gigabytes": "device GB",
    "videos_per_second": "videos/s",
    "idle_share": "idle",
}


def header(columns: dict[str, str] = COLUMNS) -> list[str]:
    titles = " | ".join(f"{title:>9}" for title in columns.values())
    return [f"| {'case':<24} | {titles} |", f"|{'-' * 26}|" + f"{'-' * 10}:|" * len(columns)]


def row(case: str, found: dict, columns: dict[str, str] = COLUMNS) -> str:
    cells = [f"{figure(found[column]) if column in found else '':>9}" for column in columns]
    return f"| {case:<24} | " + " | ".join(cells) + " |"


def table(results: dict[str, dict]) -> list[str]:
    """The rows of all cases, with the columns that at least one of them has."""
    columns = {name: title for name, title in COLUMNS.items() if any(name in found for found in results.values())}
    return header(columns) + [row(case, found, columns) for case, found in results.items()]


def figure(value: float) -> str:
    """The value with three digits, and without an exponent if it is large."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def write_section(page: Path, name: str, lines: list[str]) -> None:
    """Replaces the lines between `<!-- name -->` and `<!-- end of name -->` in a Markdown page."""
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
    before, _, rest = page.read_text().partition(begin)
    _, marker, after = rest.partition(end)
    if not marker:
        raise SystemExit(f"error: {page} has no section between {begin.strip()} and {end}")
    page.write_text(before + begin + "\n".join(lines) + "\n" + marker + after)


def main() -> None:
    path, section = sys.argv[1], (sys.argv[2:] or ["table"])[0]
    write_section(PAGE, section, table(json.loads(Path(path).read_text())))
    print(f"wrote the section {section} of {PAGE}")


if __name__ == "__main__":
    main()
