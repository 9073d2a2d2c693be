"""The section of report.html that shows why a detector fails: diagnosis.py's numbers, ready to be drawn."""

import html
from itertools import pairwise

from contextloc_jax.core.protocols import Protocol
from contextloc_jax.report.tables import BIN_UNITS, conclusion, diagnosis_tables, threshold_text

TABLE_COLUMNS = 100  # width of the tables in text, which scroll on a narrow screen
KINDS = {  # title, and the unit after the numbers of a bin
    "length": ("Length of the instance", " s"),
    "coverage": ("Share of the video it fills", "%"),
    "instances": ("Instances in its video", ""),
    "context": ("Share of its surroundings that is free", "%"),
}
_NOTES = {
    "errors": "What the detections of a class are, by rank. For a class with G instances, 1G are its G best-ranked "
    "detections, 2G are the next G, and so on.",
    "costs": "How many points mAP would gain if all detections with that error were removed.",
    "bins": "mAP_N of the instances in a bin (mAP as if every bin had the same number of instances), and the share of "
    "them that no detection finds. The dashed lines are for all instances together.",
}


def diagnosis_data(diagnosis: dict, protocol: Protocol) -> dict:
    """What the script draws, from the dict of diagnosis.diagnose: shares in [0, 1], gains in mAP, names of bins."""
    profile, bins, missed = diagnosis["false_positives"], diagnosis["sensitivity"], diagnosis["false_negatives"]
    verdicts = list(profile["all"])
    edges = {kind: [BIN_UNITS[kind][0] * edge for edge in protocol.bins[kind].edges] for kind in KINDS}
    return {
        "verdicts": verdicts,
        "ranks": [[_short(group[verdict]) for verdict in verdicts] for group in profile["by_rank"]],
        "costs": [
            {"name": name, "gain": _short(entry["gain"]), "mAP": _short(entry["mAP"])}
            for name, entry in diagnosis["without_error"].items()
        ],
        "mAP_N": _short(bins["mAP_N"]),
        "missed": _short(missed["missed"]),
        "kinds": [
            {
                "name": title,
                "bins": [
                    {
                        "name": name,
                        "range": span,
                        "instances": entry["instances"],
                        "mAP_N": _short(entry["mAP_N"]),
                        "missed": _short(missed[kind][name]),
                    }
                    for (name, entry), span in zip(bins[kind].items(), _ranges(edges[kind], unit), strict=True)
                ],
            }
            for kind, (title, unit) in KINDS.items()
        ],
    }


def diagnosis_section(diagnosis: dict, protocol: Protocol) -> str:
    """The section: what it says in words, a place for every picture, and the same numbers as tables of text."""
    kinds = "\n".join(f'<div class="card figure" id="bins-{i}"></div>' for i in range(len(KINDS)))
    return (
        '<section aria-labeledby="diagnosis-heading">\n<h2 id="diagnosis-heading">Why detections fail</h2>\n'
        f'<p class="note"><b>{html.escape(conclusion(diagnosis))}</b>'
        f" At tIoU {html.escape(threshold_text(diagnosis['thresholds']))}.</p>\n"
        '<div class="figures">\n'
        f"{_figure('error-profile', 'Detections by rank', _NOTES['errors'])}\n"
        f"{_figure('error-costs', 'What each error costs', _NOTES['costs'])}\n</div>\n"
        f'<h3 id="bins-heading">Which instances are hard</h3>\n<p class="note">{_NOTES["bins"]}</p>\n'
        f'<div class="figures">\n{kinds}\n</div>\n'
        '<details class="numbers"><summary>The numbers as tables</summary>\n'
        f"<pre>{html.escape(diagnosis_tables(diagnosis, protocol, TABLE_COLUMNS))}</pre></details>\n</section>"
    )


def _figure(name: str, title: str, note: str) -> str:
    return f'<figure class="card figure"><figcaption><b>{title}</b> {note}</figcaption><div id="{name}"></div></figure>'


def _ranges(edges: list[float], unit: str) -> list[str]:
    """The values of every bin: '≤ 3 s', '3–6 s', ..., '> 18 s'."""
    inner = [f"{low:g}–{high:g}{unit}" for low, high in pairwise(edges)]
    return [f"≤ {edges[0]:g}{unit}", *inner, f"> {edges[-1]:g}{unit}"]


def _short(value: float | None) -> float | None:
    return None if value is None else round(value, 5)
