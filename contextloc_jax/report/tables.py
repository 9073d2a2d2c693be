"""What evaluate, score and fuse print: mAP and its interval, and why detections fail, as tables for a terminal.

Every table fits into `columns`, by default those of the terminal (80 if there is none). Values are in percent.
"""

import shutil
import textwrap
from collections.abc import Sequence

from contextloc_jax.core.protocols import ORACLE, Protocol, threshold_keys

MAX_CLASSES = 30  # with more classes, their AP is only in metrics.json
RANKS = (1, 2, 3, 5, 10)  # the groups of the false-positive profile that are printed
COMMON_SHARE = 0.05  # share of all instances; a smaller bin is not called the most often missed
BIN_UNITS = {  # the factor of the edges of bins when they are printed, and their unit
    "length": (1, " s"),
    "coverage": (100, "% of the video"),
    "instances": (1, " in the video"),
    "context": (100, "% free"),
}


def precision_table(metrics: dict, protocol: Protocol, columns: int | None = None) -> str:
    """AP of every class (if there are at most MAX_CLASSES) and mAP with its interval. metrics: of results.assess."""
    columns = columns or terminal_columns()
    keys, averaged = protocol.keys, threshold_keys(protocol.averaged)
    interval, classes = metrics["interval"], metrics["AP"] if len(metrics["AP"]) <= MAX_CLASSES else {}
    longest = max(map(len, [*classes, "95% from"]))
    wide = longest + 8 * len(keys) + 9 <= columns
    cell, decimals = (8, 2) if wide else (6, 1)
    width = min(longest, columns - cell * len(keys) - 9)

    def line(name: str, values: dict, average: float) -> str:
        name = name if len(name) <= width else name[: width - 2] + ".."
        cells = [f"{100 * values[key]:{cell}.{decimals}f}" for key in keys]
        return f"{name:<{width}}{''.join(cells)}{100 * average:9.{decimals}f}"

    head = f"{'tIoU':<{width}}{''.join(f'{key:>{cell}}' for key in keys)}  average"
    rule = "-" * len(head)
    rows = [line(name, ap, sum(ap[key] for key in averaged) / len(averaged)) for name, ap in classes.items()]
    bounds = [
        line(name, {key: interval["mAP"][key][side] for key in keys}, interval["average_mAP"][side])
        for side, name in enumerate((f"{interval['level']:.0%} from", "to"))
    ]
    mean = line("mAP (%)", metrics["mAP"], metrics["average_mAP"])
    body = [head, rule, *rows, *([rule] if rows else []), mean, *bounds, ""]
    return "\n".join([*body, *textwrap.wrap(_about(metrics, averaged), columns)])


def diagnosis_tables(diagnosis: dict, protocol: Protocol, columns: int | None = None) -> str:
    """The errors with what each costs, the instances that are hard and those that are missed, then both in words."""
    columns = columns or terminal_columns()
    words = "\n".join(textwrap.wrap(conclusion(diagnosis), columns))
    return "\n\n".join([_error_table(diagnosis, columns), _instance_table(diagnosis, protocol, columns), words])


def class_scores_text(used: dict) -> str:
    """The video-level class scores that the detections were made with. used: metrics["class_scores"]."""
    source = "the annotated classes (oracle)" if used["source"] == ORACLE else used["source"]
    return f"{source}, the best {used['top_k']} classes of a video" if used["top_k"] else source


def terminal_columns() -> int:
    """Columns of the terminal, or $COLUMNS, or 80."""
    return max(60, shutil.get_terminal_size().columns)


def _about(metrics: dict, averaged: list[str]) -> str:
    low, high = metrics["interval"]["average_mAP"]
    text = (
        f"{metrics['protocol']}: {metrics['videos']:,} videos, {metrics['instances']:,} instances,"
        f" {metrics['detections']:,} detections. Average mAP (tIoU {averaged[0]} to {averaged[-1]})"
        f" {100 * metrics['average_mAP']:.2f}%, {metrics['interval']['level']:.0%} interval {100 * low:.2f} to"
        f" {100 * high:.2f} (bootstrap over videos)."
    )
    if used := metrics.get("class_scores"):
        text += f" Scores are multiplied by video-level class scores: {class_scores_text(used)}."
    if len(metrics["AP"]) > MAX_CLASSES:
        text += f" The {len(metrics['AP'])} classes are in metrics.json."
    if absent := metrics["classes_without_instances"]:
        some = ", ".join(absent[:5]) + (", ..." if len(absent) > 5 else "")
        text += f" Left out, without an instance: {len(absent)} classes ({some})."
    return text


def _error_table(diagnosis: dict, columns: int) -> str:
    profile, without = diagnosis["false_positives"], diagnosis["without_error"]
    ranks = [rank for rank in RANKS if rank <= len(profile["by_rank"])]
    groups = [*(profile["by_rank"][rank - 1] for rank in ranks), profile["all"]]
    heads = [*(f"{rank}G" for rank in ranks), "all"]
    lines = [f"{'detections (%)':<17}{''.join(f'{head:>7}' for head in heads)}{'mAP without':>13}{'gain':>8}"]
    lines.append("-" * len(lines[0]))
    for verdict in profile["all"]:
        cells = "".join(f"{100 * group[verdict]:7.1f}" for group in groups)
        cost = without.get(verdict)
        cost = f"{100 * cost['mAP']:13.2f}{100 * cost['gain']:+8.2f}" if cost else ""
        lines.append(f"{verdict:<17}{cells}{cost}")
    legend = (
        f"At tIoU {threshold_text(diagnosis['thresholds'])}. For a class with G instances, 1G are its G best-ranked"
        " detections, 2G are the next G, and so on."
    )
    return "\n".join([*lines, *textwrap.wrap(legend, columns)])


def _instance_table(diagnosis: dict, protocol: Protocol, columns: int) -> str:
    """Blocks side by side: mAP_N, missed instances and (if they fit) numbers of instances; one row for each kind."""
    bins, missed = diagnosis["sensitivity"], diagnosis["false_negatives"]
    kinds = [name for name in missed if name != "missed"]
    names = max((list(bins[kind]) for kind in kinds), key=len)
    blocks = {
        "mAP_N (%)": {kind: {name: _percent(entry["mAP_N"]) for name, entry in bins[kind].items()} for kind in kinds},
        "missed (%)": {kind: {name: _percent(share) for name, share in missed[kind].items()} for kind in kinds},
        "instances": {kind: {name: f"{entry['instances']:,}" for name, entry in bins[kind].items()} for kind in kinds},
    }
    gap, cell = 4, 6
    block = gap + cell * len(names)
    blocks = dict(list(blocks.items())[: max(2, (columns - 9) // block)])
    lines = [
        f"{'':<9}{''.join(f'{title:>{block}}' for title in blocks)}",
        f"{'':<9}{''.join(' ' * gap + ''.join(f'{name:>{cell}}' for name in names) for _ in blocks)}",
        "-" * (9 + block * len(blocks)),
    ]
    for kind in kinds:
        rows = (
            " " * gap + "".join(f"{rows[kind].get(name, ''):>{cell}}" for name in names) for rows in blocks.values()
        )
        lines.append(f"{kind:<9}{''.join(rows)}".rstrip())
    return "\n".join([*lines, *textwrap.wrap(_bin_legend(diagnosis, protocol, kinds), columns)])


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}"


def _bin_legend(diagnosis: dict, protocol: Protocol, kinds: list[str]) -> str:
    texts = []
    for kind in kinds:
        scale, unit = BIN_UNITS[kind]
        edges = protocol.bins[kind].edges
        texts.append(f"{kind} {', '.join(f'{scale * edge:g}' for edge in edges)}{unit}")
    return (
        f"mAP_N is mAP as if every class and bin had the same number of instances; over all instances it is"
        f" {_percent(diagnosis['sensitivity']['mAP_N'])}. Bins end at: {'; '.join(texts)}."
    )


def conclusion(diagnosis: dict) -> str:
    """The costliest error and the instances most often missed, in words."""
    costs, missed = diagnosis["without_error"], diagnosis["false_negatives"]
    worst = max(costs, key=lambda name: costs[name]["gain"])
    text = "No kind of error costs anything."
    if costs[worst]["gain"] > 0:
        text = (
            f"The costliest error is '{worst}': without it mAP would be {100 * costs[worst]['mAP']:.2f}%"
            f" ({100 * costs[worst]['gain']:+.2f})."
        )
    text += f" Missed: {missed['missed']:.1%} of the instances"
    if missed["missed"] > 0:
        share, kind, name = max(_common_bins(diagnosis))
        text += f"; most often in bin {name} of {kind} ({share:.1%})"
    return f"{text}."


def _common_bins(diagnosis: dict) -> list[tuple[float, str, str]]:
    """(missed share, kind, bin) of the bins that hold at least COMMON_SHARE of the instances."""
    bins = {kind: rows for kind, rows in diagnosis["sensitivity"].items() if kind != "mAP_N"}
    total = sum(entry["instances"] for entry in bins["instances"].values())
    return [
        (diagnosis["false_negatives"][kind][name], kind, name)
        for kind, rows in bins.items()
        for name, entry in rows.items()
        if entry["instances"] >= COMMON_SHARE * total
    ]


def threshold_text(thresholds: list[float]) -> str:
    """'0.5', or '0.5 to 0.95, the mean'."""
    if len(thresholds) == 1:
        return f"{thresholds[0]:g}"
    return f"{thresholds[0]:g} to {thresholds[-1]:g}, the mean"


def format_comparison(comparison: dict, names: tuple[str, str] = ("first", "second")) -> str:
    """The comparison as a table for a terminal, in percent, and what its columns mean."""
    level = f"{100 * comparison['level']:g}%"
    lines = [f"{'tIoU':<8}{'first':>8}{'second':>8}{'difference':>12}   {level + ' interval':<20}{'p':>7}"]
    for key, entry in [*comparison["mAP"].items(), ("average", comparison["average_mAP"])]:
        low, high = (100 * bound for bound in entry["interval"])
        lines.append(
            f"{key:<8}{100 * entry['first']:8.2f}{100 * entry['second']:8.2f}{100 * entry['difference']:+12.2f}"
            f"   {f'[{low:+.2f}, {high:+.2f}]':<20}{entry['p']:7.3f}"
        )
    lines.append(f"first: {names[0]}; second: {names[1]}")
    lines.append("interval: bootstrap over videos; p: runs swap videos. Neither contains the effect of training seeds.")
    return "\n".join(lines)


def verdict_text(comparison: dict, names: Sequence[str], num_videos: int) -> str:
    """Whether chance explains the difference, in plain words."""
    whole = comparison["average_mAP"]
    low, high = (100 * bound for bound in whole["interval"])
    gap = f"{100 * abs(whole['difference']):.2f} points of average mAP"
    sure = f"{comparison['level']:.0%} interval of the difference {low:+.2f} to {high:+.2f}, p = {whole['p']:.3f}"
    if comparison["conclusion"] == "too few videos to tell":
        text = f"The runs differ by {gap}; there are too few videos ({num_videos}) to tell this from chance."
    elif comparison["conclusion"] == "no difference shown":
        text = f"The runs differ by {gap}, no more than chance explains ({sure}). Neither is shown to be better."
    else:
        better, worse = (names[1], names[0]) if whole["difference"] > 0 else (names[0], names[1])
        text = f"{better} is better than {worse} by {gap}, more than chance explains ({sure})."
    return "\n" + textwrap.fill(text, terminal_columns(), break_long_words=False, break_on_hyphens=False)
