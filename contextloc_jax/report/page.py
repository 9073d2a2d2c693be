"""report.html: one self-contained page for people, made from the evaluated detections.

The page needs no network. Its template, style and scripts are in assets/. Python computes everything (matches,
verdicts, numbers); the scripts only draw it. The same inputs give the same bytes.
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
from contextloc_jax.core.protocols import threshold_keys
from contextloc_jax.core.structs import Detections
from contextloc_jax.evaluation.judging import CORRECT, VERDICTS, Judged, explanations
from contextloc_jax.report.curves import Curve, thin_curve
from contextloc_jax.report.page_diagnosis import diagnosis_data, diagnosis_section
from contextloc_jax.report.tables import class_scores_text
from contextloc_jax.report.timelines import video_rows

MAX_VIDEOS = 1000  # how many videos are drawn; the others count in the metrics, but are not on the page
MAX_DETECTIONS = 24_000  # how many detections of all videos are drawn; this limits the page to about a megabyte
MAX_VIDEO_DETECTIONS, MIN_VIDEO_DETECTIONS = 100, 20
FIRST_DETECTIONS_PER_VIDEO = 5  # where the score slider starts without ground truth
SCRIPTS = ("drawing.js", "charts.js", "diagnosis.js", "timelines.js", "controls.js")


def write_report(
    path: str | os.PathLike,
    judged: Judged,
    metrics: dict | None,
    title: str,
    curves: dict[str, tuple] | None = None,
    facts: dict[str, str] | None = None,
    diagnosis: dict | None = None,
) -> None:
    """Writes the page of judged detections to `path`, whole or not at all.

    metrics: what metrics.json holds, or None. curves: {name: (steps [n], values [n])}, drawn in this order; values
    that are not finite leave gaps. facts: {name: value}, printed under the title. diagnosis: diagnosis.diagnose's dict.
    InputError: the file cannot be written.
    """
    page = _page(judged.detections, judged, metrics, curves or {}, title, facts or {}, diagnosis)
    write_whole(path, page.encode("utf-8", "xmlcharrefreplace"))


def write_unjudged_report(path: str | os.PathLike, detections: Detections, title: str) -> None:
    """Writes the page of detections that have no ground truth: timelines without verdicts.

    InputError: a detection is not finite, or the file cannot be written.
    """
    for name, values in (("segments", detections.segments), ("scores", detections.scores)):
        if not np.all(np.isfinite(values)):
            row = int(np.argwhere(~np.isfinite(values))[0][0])
            video = detections.video_ids[int(detections.video[row])]
            raise InputError(f"report: {name} of detection {row} (video {video!r}) not finite; expected finite numbers")
    page = _page(detections, None, None, {}, title, {}, None)
    write_whole(path, page.encode("utf-8", "xmlcharrefreplace"))


def _page(
    detections: Detections,
    judged: Judged | None,
    metrics: dict | None,
    curves: dict,
    title: str,
    facts: dict,
    diagnosis: dict | None,
) -> str:
    """The whole page. detections: those of `judged`, if it is given."""
    names = sorted(detections.video_ids, key=_as_people_count)
    drawn = names[:MAX_VIDEOS]
    cap = min(MAX_VIDEO_DETECTIONS, max(MIN_VIDEO_DETECTIONS, MAX_DETECTIONS // max(1, len(drawn))))
    videos = video_rows(detections, judged, drawn, cap)
    thinned = [thin_curve(name, *points) for name, points in curves.items()]
    num_instances = sum(len(video["truth"] or []) for video in videos)
    accuracy = _accuracy_data(metrics, detections.labels)
    data = {
        "labels": detections.labels,
        "judged": judged is not None,
        "tiou": threshold_keys(judged.protocol.diagnosed)[0] if judged else None,  # of the verdicts
        "verdicts": list(VERDICTS),
        "correct": CORRECT,
        "videos": videos,
        "score_range": _score_range(videos),
        "default_count": max(1, num_instances if judged else FIRST_DETECTIONS_PER_VIDEO * len(drawn)),
        "accuracy": accuracy,
        "diagnosis": diagnosis and diagnosis_data(diagnosis, judged.protocol),
        "curves": [{"name": curve.name, "steps": curve.steps, "values": curve.values} for curve in thinned],
    }
    folder = resources.files("contextloc_jax.report") / "assets"
    parts = {
        "title": html.escape(title),
        "style": (folder / "page.css").read_text("utf-8"),
        "facts": _definitions("facts", {**_metrics_facts(metrics), **facts}),
        "headline": _headline(metrics, len(names), len(detections.scores), judged),
        "accuracy": _accuracy(accuracy),
        "diagnosis": diagnosis_section(diagnosis, judged.protocol) if diagnosis else "",
        "training": _training(thinned),
        "shown": html.escape(_shown(names, videos, cap, len(detections.scores), judged is not None)),
        "method": _method(judged.protocol.diagnosed[0]) if judged else "",
        # Without "<" in the data no name can close the script element.
        "data": json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c"),
        "script": "\n".join((folder / name).read_text("utf-8") for name in SCRIPTS),
    }
    # One pass, so that braces inside a name are left alone.
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], (folder / "page.html").read_text("utf-8"))


def _as_people_count(name: str) -> tuple[str, str]:
    """A key for sorting names in which numbers count as numbers: 2 comes before 10."""
    return re.sub(r"\d+", lambda number: number[0].zfill(12), name), name


def _score_range(videos) -> list[float]:
    """The scores that are drawn faintest and strongest: 0 (or the smallest score, if below 0), and the 95th percentile
    of the best scores of the videos."""
    scores = [row[2] for video in videos for row in video["detections"]]
    best = [video["detections"][0][2] for video in videos if video["detections"]]
    return [min(0.0, min(scores)), float(f"{np.percentile(best, 95):.4g}")] if scores else [0.0, 1.0]


def _accuracy_data(metrics, labels) -> dict | None:
    """The mAP table for the script and for `_accuracy`; None without metrics. Values that are not numbers -> None."""
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


def _headline(metrics, num_videos, num_detections, judged: Judged | None) -> str:
    numbers = {}
    if metrics and metrics.get("mAP"):
        averaged = judged.protocol.averaged
        name = f"average mAP (tIoU {averaged[0]:g}–{averaged[-1]:g})"
        if "interval" in metrics:
            low, high = metrics["interval"]["average_mAP"]
            name += f", {metrics['interval']['level']:.0%} interval {low:.3f}–{high:.3f}"
        numbers[name] = _fraction(metrics.get("average_mAP"))
        for threshold in threshold_keys(judged.protocol.quoted):
            if threshold in metrics["mAP"]:
                numbers[f"mAP at tIoU {threshold}"] = _fraction(metrics["mAP"][threshold])
    numbers["videos"] = f"{num_videos:,}"
    if judged:
        numbers["annotated instances"] = f"{len(judged.matches.ground_truth.label):,}"
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
    note = "Each curve has its own scale. The number is its last value, or the value at the step under the pointer."
    if longest.total > len(longest.steps):
        note += f" Long curves are thinned (at most {len(longest.steps)} of {longest.total:,} points); spikes are kept."
    return (
        '<section aria-labeledby="training-heading">\n<h2 id="training-heading">Training</h2>\n'
        f'<p class="note">{note}</p>\n<div id="curves" class="curves"></div>\n</section>'
    )


def _shown(names, videos, cap, num_detections, judged) -> str:
    """One paragraph: which videos and detections are drawn, and how to use the page."""
    drawn = sum(len(video["detections"]) for video in videos)
    text = f"{len(names):,} videos." if len(names) != 1 else "One video."
    if len(videos) < len(names):
        text = f"The first {len(videos):,} of {len(names):,} videos by name, {names[0]} to {videos[-1]['name']}."
    if drawn < num_detections:
        text += f" {drawn:,} of {num_detections:,} detections are drawn: the {cap} best-scored of each video shown."
    start = "as many detections as instances" if judged else f"{FIRST_DETECTIONS_PER_VIDEO} detections per video"
    text += f" The score slider starts with {start}." if drawn else ""
    return text + " Point at a bar to see its numbers. Choose classes to see only these."


def _method(tiou: float) -> str:
    correct, *errors = explanations(tiou).items()
    texts = {
        "Correct": f"{correct[1]} The slider and the chosen classes do not change verdicts.",
        **{f"✗ {name}": f"False. {text}" for name, text in errors},
        "Best instance": "The one with the best tIoU in the video, of any class. Among equal ones, one of the "
        "detection's class.",
        f"AP@{tiou:g} of a video": "All its detections in one ranking, precision interpolated. The page sorts "
        "videos by it. mAP is another number: it ranks each class over all videos.",
    }
    return (
        '<section aria-labeledby="method-heading">\n<h2 id="method-heading">How to read this page</h2>\n'
        f"{_definitions('reading', texts)}\n</section>"
    )
