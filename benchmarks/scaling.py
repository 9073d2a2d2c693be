"""How the cost of scoring one video grows with its proposals N and its snippets T: seconds, and the memory that the
compiler plans.

python -m benchmarks.scaling      writes docs/scaling_proposals.svg, docs/scaling_snippets.svg and the section of
                                  docs/performance.md; it takes about a minute
"""

import math
import statistics
from functools import partial
from typing import NamedTuple

import jax

from benchmarks.host import seconds_of
from benchmarks.log_plot import Panel, fitted_power, svg
from benchmarks.model_speed import scoring
from benchmarks.published import published_model
from benchmarks.table import PAGE, figure, write_section
from benchmarks.useful_work import Size
from contextloc_jax.devices.host_memory import keep_freed_memory
from contextloc_jax.localization.contextloc import ContextLoc

PROPOSALS = [Size(1, 600, nodes) for nodes in (200, 400, 800, 1600, 3200)]
SNIPPETS = [Size(1, snippets, 400) for snippets in (256, 512, 1024, 2048, 4096)]


class Cost(NamedTuple):
    """Median seconds of scoring one video; peak bytes of its arguments, its scores and everything between."""

    seconds: float
    num_bytes: int


def main() -> None:
    keep_freed_memory()  # as main.py does
    model, lines = published_model(20), []
    for axis, sizes, x in (
        ("proposals", PROPOSALS, [size.nodes for size in PROPOSALS]),
        ("snippets", SNIPPETS, [size.snippets for size in SNIPPETS]),
    ):
        costs = costs_of(model, sizes)
        label = f"{axis} ({'T = 600' if axis == 'proposals' else 'N = 400'})"
        panels = [
            Panel("milliseconds a video", label, x, [1e3 * found.seconds for found in costs]),
            Panel("megabytes a video", label, x, [found.num_bytes / 1e6 for found in costs]),
        ]
        (PAGE.parent / f"scaling_{axis}.svg").write_text(svg(panels))
        lines += [*section(label, axis, panels), ""]
        print("\n".join(lines[-6:]), flush=True)
    write_section(PAGE, "scaling", lines[:-1])


def costs_of(model: ContextLoc, sizes: list[Size], rounds: int = 9) -> list[Cost]:
    """The costs of all sizes. They are measured in turn, round by round, so that other work on the machine slows all of
    them."""
    programs = [scoring(model, size) for size in sizes]
    compiled = [program.compile() for program in programs]
    runs = [partial(program.run, executable) for program, executable in zip(programs, compiled, strict=True)]
    for run in runs:
        run()
    seconds = [[seconds_of(run) for run in runs] for _ in range(rounds)]
    medians = map(statistics.median, zip(*seconds, strict=True))
    return [Cost(median, held_bytes(executable)) for median, executable in zip(medians, compiled, strict=True)]


def held_bytes(compiled) -> int:
    """The exact number of bytes that the compiled program holds, without parameters, which do not grow."""
    plan = compiled.memory_analysis()
    parameters = sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(compiled.args_info[0][0]))
    return plan.argument_size_in_bytes - parameters + plan.output_size_in_bytes + plan.temp_size_in_bytes


def section(label: str, axis: str, panels: list[Panel]) -> list[str]:
    """The image and the table of one axis."""
    names = [f"{value:g}" for value in panels[0].x]
    lines = [
        f"![Seconds and memory of scoring one video by its {axis}](scaling_{axis}.svg)",
        "",
        f"| {label} | {' | '.join(names)} | exponent |",
        "|---|" + "---:|" * (len(names) + 1),
    ]
    for panel in panels:
        values = " | ".join(figure(value) for value in panel.y)
        lines.append(f"| {panel.title} | {values} | {fitted_power(panel.x, panel.y)[0]:.2f} |")
    return lines


if __name__ == "__main__":
    main()
