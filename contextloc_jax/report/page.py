"""report.html: one self-contained page for a person to look at, made from the evaluated detections.

The page asks the network for nothing. Its template, style and scripts lie in assets/: Python decides what is
true (matches, verdicts, numbers), the scripts draw it. The same inputs give the same bytes.
"""

import html
import json
import math
import os
import re
from importlib import resources

import numpy as np

from contextloc_jax.core.errors import InputError
from contextloc_jax.core.files import write_whole
from contextloc_jax.core.protocols import find_protocol
from contextloc_jax.core.structs import Detections, GroundTruth
from contextloc_jax.report.curves import Curve, thin_curve
from contextloc_jax.report.page_diagnosis import diagnosis_data, diagnosis_section
from contextloc_jax.report.tables import class_scores_text
from contextloc_jax.report.timelines import VERDICTS, video_rows

MAX_VIDEOS = 1000  # drawn; further videos count in the metrics but are left off the page
MAX_DETECTIONS = 24_000  # drawn, of all videos together: bounds the page to about a megabyte
MAX_VIDEO_DETECTIONS, MIN_VIDEO_DETECTIONS = 100, 20
FIRST_DETECTIONS_PER_VIDEO = 5  # where the score slider starts without ground truth
SCRIPTS = ("drawing.js", "charts.js", "diagnosis.js", "timelines.js", "controls.js")


def write_report(
    path: str | os.PathLike,
    detections: Detections,
    ground_truth: GroundTruth | None,
    metrics: dict | None,
    curves: dict[str, tuple] | None,
    title: str,
    facts: dict[str, str] | None = None,
    diagnosis: dict | None = None,
) -> None:
    """Write the page to `path`, whole or not at all.

    detections, ground_truth: batch.py's structs in seconds; ground_truth None (predict) leaves out every verdict.
    metrics: what metrics.json holds, or None. curves: {name: (steps [n], values [n])}, drawn in this order; values
    that are not finite leave gaps. facts: {name: value}, printed under the title. diagnosis: diagnosis.diagnose's dict.
    Raises InputError for detections that are not finite and for a path that cannot be written.
    """
    for name, values in (("segments", detections.segments), ("scores", detections.scores)):
        if not np.all(np.isfinite(values)):
            row = int(np.argwhere(~np.isfinite(values))[0][0])
            video = detections.video_ids[int(detections.video[row])]
            raise InputError(f"report: {name} of detection {row} (video {video!r}) not finite; expected numbers")
    page = _page(detections, ground_truth, metrics, curves or {}, title, facts or {}, diagnosis)
    write_whole(path, page.encode("utf-8", "xmlcharrefreplace"))


def _page(detections, ground_truth, metrics, curves, title, facts, diagnosis) -> str:
    names = _video_names(detections, ground_truth)
    drawn = names[:MAX_VIDEOS]
    cap = min(MAX_VIDEO_DETECTIONS, max(MIN_VIDEO_DETECTIONS, MAX_DETECTIONS // max(1, len(drawn))))
    labels = list(dict.fromkeys([*(ground_truth.labels if ground_truth else []), *detections.labels]))
    videos = video_rows(drawn, labels, detections, ground_truth, cap)
    thinned = [thin_curve(name, *points) for name, points in curves.items()]
    num_instances = sum(len(video["truth"] or []) for video in videos)
    accuracy = _accuracy_data(metrics, labels)
    data = {
        "labels": labels,
        "judged": ground_truth is not None,
        "verdicts": list(VERDICTS),
        "videos": videos,
        "score_range": _score_range(videos),
        "default_count": max(1, num_instances if ground_truth else FIRST_DETECTIONS_PER_VIDEO * len(drawn)),
        "accuracy": accuracy,
        "diagnosis": diagnosis and diagnosis_data(diagnosis),
        "curves": [{"name": curve.name, "steps": curve.steps, "values": curve.values} for curve in thinned],
    }
    folder = resources.files("contextloc_jax.report") / "assets"
    parts = {
        "title": html.escape(title),
        "style": (folder / "page.css").read_text("utf-8"),
        "facts": _definitions("facts", {**_metrics_facts(metrics), **facts}),
        "headline": _headline(metrics, len(names), len(detections.scores), ground_truth),
        "accuracy": _accuracy(accuracy),
        "diagnosis": diagnosis_section(diagnosis) if diagnosis else "",
        "training": _training(thinned),
        "shown": html.escape(_shown(names, videos, cap, len(detections.scores), ground_truth is not None)),
        "method": _method() if ground_truth else "",
        # Without "<" in the data no name can close the script element.
        "data": json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c"),
        "script": "\n".join((folder / name).read_text("utf-8") for name in SCRIPTS),
    }
    # One pass, so that braces inside a name are left alone.
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], (folder / "page.html").read_text("utf-8"))


def _video_names(detections, ground_truth) -> list[str]:
    """Every annotated video and every video with a detection, once each; 2 stands before 10 inside names."""
    names = set(detections.video_ids)
    if ground_truth:
        names = {detections.video_ids[i] for i in np.unique(detections.video)} | set(ground_truth.video_ids)
    return sorted(names, key=lambda name: (re.sub(r"\d+", lambda number: number[0].zfill(12), name), name))


def _score_range(videos) -> list[float]:
    """Scores drawn faintest and fullest: 0 (or the least, below 0) and what one video in twenty exceeds."""
    scores = [row[2] for video in videos for row in video["detections"]]
    best = [video["detections"][0][2] for video in videos if video["detections"]]
    return [min(0.0, min(scores)), float(f"{np.percentile(best, 95):.4g}")] if scores else [0.0, 1.0]


def _accuracy_data(metrics, labels) -> dict | None:
    """The mAP table for the script and for `_accuracy`; None without metrics. Values that are no numbers -> None."""
    if not metrics or not metrics.get("mAP"):
        return None
    thresholds = sorted(metrics["mAP"], key=float)
    code = {label: i for i, label in enumerate(labels)}
    classes = [
        {"name": name, "label": code.get(name), "values": [_number(by_threshold.get(t)) for t in thresholds]}
        for name, by_threshold in metrics.get("AP", {}).items()
    ]
    mean = [_number(metrics["mAP"][t]) for t in thresholds]
    return {"thresholds": thresholds, "mean": mean, "classes": classes, "interval": _interval(metrics, thresholds)}


def _interval(metrics, thresholds) -> dict | None:
    """{"level": "95%", "low": [...], "high": [...]} of mAP at the thresholds."""
    if "interval" not in metrics:
        return None
    low, high = zip(*(metrics["interval"]["mAP"][threshold] for threshold in thresholds), strict=True)
    sides = {"low": [_number(value) for value in low], "high": [_number(value) for value in high]}
    return {"level": f"{metrics['interval']['level']:.0%}", **sides}


def _number(value) -> float | None:
    return round(float(value), 6) if value is not None and math.isfinite(value) else None


def _fraction(value) -> str:
    return "–" if _number(value) is None else f"{value:.3f}"


def _metrics_facts(metrics) -> dict[str, str]:
    """Under which protocol and on which data the numbers were measured."""
    metrics = metrics or {}
    facts = {"Protocol": metrics.get("protocol"), "Data": (metrics.get("data") or {}).get("identity")}
    if "class_scores" in metrics:
        facts["Video-level class scores"] = class_scores_text(metrics["class_scores"])
    return {name: str(value) for name, value in facts.items() if value}


def _definitions(kind, pairs) -> str:
    """A <dl> of (name, value) pairs, both escaped; nothing without pairs."""
    card = ' class="card"' if kind == "headline" else ""
    items = "\n".join(
        f"<div{card}><dt>{html.escape(str(name))}</dt><dd>{html.escape(str(value))}</dd></div>"
        for name, value in pairs.items()
    )
    return f'<dl class="{kind}">\n{items}\n</dl>' if pairs else ""


def _headline(metrics, num_videos, num_detections, ground_truth) -> str:
    numbers = {}
    if metrics and metrics.get("mAP"):
        averaged = find_protocol(metrics["protocol"]).averaged
        name = f"average mAP (tIoU {averaged[0]:g}–{averaged[-1]:g})"
        if "interval" in metrics:
            low, high = metrics["interval"]["average_mAP"]
            name += f", {metrics['interval']['level']:.0%} interval {low:.3f}–{high:.3f}"
        numbers[name] = _fraction(metrics.get("average_mAP"))
        for threshold in ("0.5", "0.7" if "0.7" in metrics["mAP"] else "0.75"):
            if threshold in metrics["mAP"]:
                numbers[f"mAP at tIoU {threshold}"] = _fraction(metrics["mAP"][threshold])
    numbers["videos"] = f"{num_videos:,}"
    if ground_truth:
        numbers["annotated instances"] = f"{len(ground_truth.label):,}"
    numbers["detections"] = f"{num_detections:,}"
    return _definitions("headline", numbers)


def _accuracy(accuracy) -> str:
    """The section of mAP: a place for the chart, and the table."""
    if accuracy is None:
        return ""
    head = "".join(f'<th scope="col">{html.escape(threshold)}</th>' for threshold in accuracy["thresholds"])
    rows = [_table_row('<th scope="row">mAP</th>', accuracy["mean"], ' class="mean"')]
    if interval := accuracy["interval"]:
        for side, name in (("low", f"{interval['level']} from"), ("high", "to")):
            cells = "".join(f"<td>{_fraction(value)}</td>" for value in interval[side])
            rows.append(f'<tr class="bounds"><th scope="row">{name}</th>{cells}</tr>')
    for row in accuracy["classes"]:
        swatch = "" if row["label"] is None else f' data-label="{row["label"]}"'
        name = html.escape(row["name"])
        rows.append(_table_row(f'<th scope="row" title="{name}"{swatch}>{name}</th>', row["values"]))
    return (
        '<section aria-labeledby="accuracy-heading">\n<h2 id="accuracy-heading">Average precision</h2>\n'
        '<div class="accuracy">\n<div class="card" id="map-chart"></div>\n'
        '<div class="card scroll" tabindex="0" role="region" aria-label="Average precision, class by threshold">\n'
        f'<table>\n<thead><tr><th scope="col">tIoU</th>{head}</tr></thead>\n<tbody>\n'
        + "\n".join(rows)
        + "\n</tbody>\n</table>\n</div>\n</div>\n</section>"
    )


def _table_row(head, values, kind="") -> str:
    cells = (f'<td class="heat" style="--share:{value or 0:.3f}">{_fraction(value)}</td>' for value in values)
    return f"<tr{kind}>{head}{''.join(cells)}</tr>"


def _training(curves: list[Curve]) -> str:
    if not curves:
        return ""
    longest = max(curves, key=lambda curve: curve.total)
    note = "Each curve has its own scale; the number is its last value, or that at the step pointed at."
    if longest.total > len(longest.steps):
        note += f" Long curves are thinned (at most {len(longest.steps)} of {longest.total:,} points); spikes are kept."
    return (
        '<section aria-labeledby="training-heading">\n<h2 id="training-heading">Training</h2>\n'
        f'<p class="note">{note}</p>\n<div id="curves" class="curves"></div>\n</section>'
    )


def _shown(names, videos, cap, num_detections, judged) -> str:
    """One paragraph: which videos and detections are drawn, and how to work the page."""
    drawn = sum(len(video["detections"]) for video in videos)
    text = f"{len(names):,} videos." if len(names) != 1 else "One video."
    if len(videos) < len(names):
        text = f"The first {len(videos):,} of {len(names):,} videos by name, {names[0]} to {videos[-1]['name']}."
    if drawn < num_detections:
        text += f" {drawn:,} of {num_detections:,} detections are drawn: the {cap} best-scored of each video shown."
    start = "with as many detections as instances" if judged else f"at {FIRST_DETECTIONS_PER_VIDEO} detections a video"
    text += f" The score slider starts {start}." if drawn else ""
    return text + " Point at a bar for its numbers; choose classes to see only these."


def _method() -> str:
    texts = {
        "Correct": "In decreasing score, each detection takes the free instance of its class with the best tIoU, "
        "if that is 0.5 or more. Whether it is correct depends on neither the slider nor the chosen classes.",
        **{f"✗ {name}": f"False: {text}." for name, text in list(VERDICTS.items())[1:]},
        "AP@0.5 of a video": "All its detections in one ranking, precision interpolated. It orders videos; mAP, "
        "which ranks each class over all videos, is another number.",
    }
    return (
        '<section aria-labeledby="method-heading">\n<h2 id="method-heading">How to read this page</h2>\n'
        f"{_definitions('reading', texts)}\n</section>"
    )
