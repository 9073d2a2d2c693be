"""Proposals in seconds: CSV and ActivityNet's proposal JSON. Both are class-agnostic; label columns are ignored.

CSV: a header line, then one line per proposal; columns in any order, and the lines of a video anywhere in the file:

    video_id,start_seconds,end_seconds,score
    video_test_0000004,3.2,9.6,0.91

COLUMN_NAMES lists the other spellings; the score column may be absent, further columns are ignored.

ActivityNet: {"version": ..., "results": {video id: [{"segment": [3.2, 9.6], "score": 0.91}]}, "external_data": {}}

Proposals with end <= start are skipped and counted in the ReadReport. Text lists in frames: proposal_list.py.
"""

import contextlib
import csv
import io
import itertools
import math
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from contextloc_jax.core.errors import InputError, excerpt
from contextloc_jax.core.files import read_json, read_text, write_json, write_whole
from input_pipeline.formats.values import ReadReport, parse_seconds, parse_segment

COLUMN_NAMES = {
    "video_id": ("video_id", "video-id", "video", "video_name", "video-name"),
    "start_seconds": ("start_seconds", "start", "t_start", "t-start"),
    "end_seconds": ("end_seconds", "end", "t_end", "t-end"),
    "score": ("score", "confidence"),
}


@dataclass(frozen=True)
class VideoProposals:
    """P proposals of one video: segments_seconds [P, 2] float64, scores [P] float64 or None (the generator's own)."""

    video_id: str
    segments_seconds: np.ndarray
    scores: np.ndarray | None = None


def read_proposal_csv(path: str | os.PathLike, report: ReadReport | None = None) -> list[VideoProposals]:
    """The proposals of every video in file order; videos in the order in which they first occur.

    InputError, with the line: the header or a column is missing, there are too few or too many cells, a video id is
    empty, a time is negative or not finite, or a score is not finite.
    """
    report = report or ReadReport()
    rows = _csv_rows(path)
    line, header = next(rows, (1, []))
    names = [name.strip().lower() for name in header]
    column = {what: _column(names, what, f"{path}:{line}") for what in COLUMN_NAMES}
    collected: dict[str, list[tuple[float, ...]]] = {}
    for line, row in rows:
        where = f"{path}:{line}"
        if len(row) != len(names):
            raise InputError(f"{where}: found {len(row)} cells, expected {len(names)} as in the header")
        video_id = row[column["video_id"]].strip()
        if not video_id:
            raise InputError(f"{where}: the video id is empty")
        start = parse_seconds(row[column["start_seconds"]], where, "start")
        end = parse_seconds(row[column["end_seconds"]], where, "end")
        score = () if column["score"] is None else (_score(row[column["score"]], where),)
        kept = collected.setdefault(video_id, [])
        if _has_length(start, end, where, report):
            kept.append((start, end, *score))
    width = 2 if column["score"] is None else 3
    return [_video_proposals(video_id, rows, width) for video_id, rows in collected.items()]


def read_proposal_json(path: str | os.PathLike, report: ReadReport | None = None) -> list[VideoProposals]:
    """The proposals of every video in file order. All proposals of a video have a score, or none has.

    InputError, with the video: the file has another form, a segment is not two times >= 0, a score is not finite, or
    only some proposals of the video have scores.
    """
    report = report or ReadReport()
    content = read_json(path)
    results = content.get("results") if isinstance(content, dict) else None
    if not isinstance(results, dict) or not results:
        raise InputError(f"{path}: no 'results' with videos, expected ActivityNet's {{'results': {{video id: [...]}}}}")
    return [
        _json_video(f"{path}: video {excerpt(video_id)}", video_id, entry, report)
        for video_id, entry in results.items()
    ]


def write_proposal_csv(path: str | os.PathLike, videos: Iterable[VideoProposals]) -> None:
    """Writes the CSV form; `read_proposal_csv` gives the videos back, except those without proposals.

    InputError: only some videos have scores, a CSV cell cannot hold an id, or the file cannot be written.
    """
    videos = [video for video in videos if len(video.segments_seconds)]
    scored = any(video.scores is not None for video in videos)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(list(COLUMN_NAMES)[: 4 if scored else 3])
    for video in videos:
        if video.video_id != video.video_id.strip() or not video.video_id or {*"\r\n"} & {*video.video_id}:
            raise InputError(
                f"video id {excerpt(video.video_id)} cannot be written to a CSV: use ids without blanks at the ends and"
                " without line breaks"
            )
        if scored and video.scores is None:
            raise InputError(
                f"video {excerpt(video.video_id)} has no proposal scores, others have: give scores to all or to none"
            )
        columns = [video.segments_seconds] + ([video.scores] if scored else [])
        writer.writerows([video.video_id, *map(repr, row)] for row in np.column_stack(columns).tolist())
    write_whole(path, text.getvalue().encode())


def write_proposal_json(path: str | os.PathLike, videos: Iterable[VideoProposals], version: str = "") -> None:
    """Writes ActivityNet's form; `read_proposal_json` gives the videos back. InputError: it cannot be written."""
    results = {video.video_id: _json_entry(video) for video in videos}
    write_json(path, {"version": version, "results": results, "external_data": {}}, indent=1, sort_keys=False)


def proposal_format(path: str | os.PathLike) -> str:
    """Which form a proposal file has: 'list' (P-GCN, frames), 'normalized' (SSN, fractions), 'json' or 'csv' (seconds).

    The content shows it: a list starts with '#', and a normalized list gives its videos a single frame.
    InputError: the file is not text.
    """
    text = read_text(path).lstrip()
    if not text.startswith("#"):
        return "json" if text.startswith("{") else "csv"
    lines = itertools.dropwhile(lambda line: not line or line.startswith("#"), map(str.strip, text.split("\n")))
    header = [line for line in itertools.islice(lines, 8) if line][1:3]
    with contextlib.suppress(ValueError):
        if math.prod(map(float, header)) == 1:
            return "normalized"
    return "list"


def _csv_rows(path: str | os.PathLike) -> Iterator[tuple[int, list[str]]]:
    """(line number, cells) of every line that is not blank."""
    reader = csv.reader(io.StringIO(read_text(path), newline=""), strict=True)
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                yield reader.line_num, row
    except csv.Error as error:
        raise InputError(f"{path}:{reader.line_num}: not valid CSV ({error}): check the quotes") from None


def _column(names: list[str], what: str, where: str) -> int | None:
    """The position of column `what` in the header; None if the score is absent."""
    for spelling in COLUMN_NAMES[what]:
        if spelling in names:
            return names.index(spelling)
    if what == "score":
        return None
    raise InputError(
        f"{where}: no column {what!r} in {excerpt(names)}, expected a header such as {','.join(COLUMN_NAMES)}"
    )


def _json_video(where: str, video_id: str, entries: object, report: ReadReport) -> VideoProposals:
    if not isinstance(entries, list):
        raise InputError(f"{where}: found {excerpt(entries)}, expected a list of proposals")
    rows = []
    for entry in entries:
        if not isinstance(entry, dict):
            raise InputError(f"{where}: found {excerpt(entry)}, expected {{'segment': [start, end], 'score': number}}")
        start, end = parse_segment(entry.get("segment"), where)
        row = (start, end, _score(entry["score"], where)) if entry.get("score") is not None else (start, end)
        if rows and len(row) != len(rows[0]):
            raise InputError(f"{where}: some proposals have a score and some have none: give it to all or none")
        rows.append(row)
    kept = [row for row in rows if _has_length(row[0], row[1], where, report)]
    return _video_proposals(video_id, kept, len(rows[0]) if rows else 2)


def _json_entry(video: VideoProposals) -> list[dict]:
    segments = [{"segment": segment} for segment in video.segments_seconds.tolist()]
    if video.scores is None:
        return segments
    return [entry | {"score": score} for entry, score in zip(segments, video.scores.tolist(), strict=True)]


def _video_proposals(video_id: str, rows: list[tuple[float, ...]], width: int) -> VideoProposals:
    """From rows of (start, end) or (start, end, score)."""
    table = np.array(rows, np.float64).reshape(-1, width)
    return VideoProposals(video_id, table[:, :2], table[:, 2] if width == 3 else None)


def _score(value: object, where: str) -> float:
    with contextlib.suppress(TypeError, ValueError, OverflowError):
        score = float(value)
        if math.isfinite(score) and not isinstance(value, bool):
            return score
    raise InputError(f"{where}: score is {excerpt(value)}, expected a finite number")


def _has_length(start: float, end: float, where: str, report: ReadReport) -> bool:
    if end <= start:
        report.note("proposal skipped: end <= start", f"{where} [{start:g}, {end:g}]")
    return end > start
