"""The text of proposal lists, group by group: the values in the file, checked, before any rule is applied.

A line that starts with '#' opens the group of one video:

    # 1
    /any/folder/video_id      the id is the last path component
    541                       number of frames (normalized lists: 1)
    1                         factor on it: n_frames = int(line * factor)
    1                         number of ground-truth instances, then one line each: label start end
    2 60 181
    2                         number of proposals, then one line each: label tIoU overlap_self start end [score]
    2 0.8623 0.8750 62 198
    0 0.0000 0.0000 330 353

Times are whole frames (P-GCN) or fractions of the video (SSN, normalized). Here a label is a class index 1..K; a
proposal that overlaps no instance has 0. The sixth column, the generator's own score, is our extension. Blank lines are
ignored.
"""

import contextlib
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from contextloc_jax.core.errors import InputError, excerpt
from contextloc_jax.core.files import read_text

MAX_FRAMES = 2**31 - 1  # the largest frame number: two years of video
_GT_COLUMNS = ("label", "start", "end")
_PROPOSAL_COLUMNS = ("label", "tIoU", "overlap_self", "start", "end", "score")
_Line = tuple[int, str]  # line number, text


@dataclass(frozen=True)
class Rows:
    """The lines of one section: values [N, 3 or more] float64 in file order of columns, and line numbers [N]."""

    values: np.ndarray
    lines: list[int]


@dataclass(frozen=True)
class Group:
    """One group: ground truth [G, 3] and proposals [P, 5 or 6], columns as in the file."""

    path: str
    line: int
    video_id: str
    num_frames: int
    ground_truth: Rows
    proposals: Rows

    @property
    def scores(self) -> np.ndarray | None:
        """[P] the scores of the generator; None if the list has no such column."""
        return self.proposals.values[:, 5] if self.proposals.values.shape[1] == 6 else None


def read_groups(path: str | os.PathLike, fractions: bool, num_classes: int | None = None) -> list[Group]:
    """All groups of a list in file order. fractions: whether times are fractions of the video or frames.

    InputError, with the line: the file has another format or is truncated; a number is missing, not finite or out of
    range; a label is above num_classes; or a video is listed twice.
    """
    groups, first_line = [], {}
    for lines in _split_at_headers(path):
        group = _parse_group(path, lines, fractions, num_classes)
        if group.video_id in first_line:
            raise InputError(
                f"{path}:{group.line}: video {excerpt(group.video_id)} was listed at line {first_line[group.video_id]}"
                " already: keep one group per video"
            )
        first_line[group.video_id] = group.line
        groups.append(group)
    return groups


def group_lines(group: Group, fractions: bool) -> Iterator[str]:
    """The lines of a group, without its '#' line. InputError: the id could not be read back."""
    name = group.video_id
    if not name or name != name.strip() or name.startswith("#") or "/" in name or "\n" in name:
        raise InputError(
            f"video id {excerpt(name)} cannot be written to a list: use ids without '/', leading '#' and line breaks"
        )
    yield from (name, str(group.num_frames), "1")
    decimals = 4 if fractions else 0
    yield from _row_lines(group.ground_truth, (0, decimals, decimals))
    yield from _row_lines(group.proposals, (0, 4, 4, decimals, decimals, 4))


def _row_lines(rows: Rows, decimals: tuple[int, ...]) -> Iterator[str]:
    yield str(len(rows.values))
    for row in rows.values.tolist():
        yield " ".join(map(_number_text, row, decimals))


def _number_text(value: float, decimals: int) -> str:
    """The usual number of decimals; more only if digits would be lost."""
    fixed = f"{value:.{decimals}f}"
    return fixed if float(fixed) == value else repr(value)


def _split_at_headers(path: str | os.PathLike) -> Iterator[list[_Line]]:
    """The lines of every group; '#' lines in a row count as one."""
    numbered = enumerate(read_text(path).split("\n"), 1)
    lines = [(number, text.strip()) for number, text in numbered if text.strip()]
    if not lines or not lines[0][1].startswith("#"):
        number, text = lines[0] if lines else (1, "")
        raise InputError(
            f"{path}:{number}: found {excerpt(text)}, expected a proposal list: a line '# 1' opens a video"
        )
    group: list[_Line] = []
    for number, text in lines:
        if not text.startswith("#"):
            group.append((number, text))
        elif group:
            yield group
            group = []
    if not group:
        raise InputError(f"{path}:{number}: the list ends with a '#' line: is the file truncated?")
    yield group


class _Cursor:
    """Takes the lines of one group in order. Its errors name the line that is not as expected."""

    def __init__(self, path: str | os.PathLike, lines: list[_Line]):
        self._path, self._lines, self._next = path, lines, 0

    def take(self, what: str) -> _Line:
        if self._next == len(self._lines):
            raise self.error(self._lines[-1][0], f"the group ends here, expected {what} next: is the file truncated?")
        self._next += 1
        return self._lines[self._next - 1]

    def rows(self, what: str, columns: tuple[str, ...], optional: int = 0) -> Rows:
        """A section: its count, then that number of lines, all with the same columns. The last `optional` columns may
        be absent."""
        number, text = self.take(f"the number of {what} lines")
        remaining = len(self._lines) - self._next
        if not (text.isascii() and text.isdigit()):
            raise self.error(number, f"found {excerpt(text)}, expected the number of {what} lines")
        if len(text) > 9 or int(text) > remaining:
            raise self.error(
                number, f"{excerpt(text)} {what} lines announced, {remaining} lines follow: is the file truncated?"
            )
        lines = [self.take(what) for _ in range(int(text))]
        width = len(lines[0][1].split()) if lines else 0
        width = min(max(width, len(columns) - optional), len(columns))
        values = [self._values(line, what, columns[:width]) for line in lines]
        return Rows(np.array(values, np.float64).reshape(len(lines), width), [number for number, _ in lines])

    def _values(self, line: _Line, what: str, columns: tuple[str, ...]) -> list[float]:
        number, text = line
        with contextlib.suppress(ValueError):
            values = [float(word) for word in text.split()]
            if len(values) == len(columns) and all(map(math.isfinite, values)):
                return values
        raise self.error(
            number, f"found {excerpt(text)}, expected {len(columns)} finite numbers ({what}: {' '.join(columns)})"
        )

    def end(self) -> None:
        if self._next < len(self._lines):
            number, text = self._lines[self._next]
            raise self.error(
                number, f"found {excerpt(text)}, expected the '#' line of the next video: is a count too small?"
            )

    def error(self, line: int, message: str) -> InputError:
        return InputError(f"{self._path}:{line}: {message}")


def _parse_group(path: str | os.PathLike, lines: list[_Line], fractions: bool, num_classes: int | None) -> Group:
    cursor = _Cursor(path, lines)
    line, name = cursor.take("the video id")
    video_id = name.rstrip("/").rsplit("/", 1)[-1]
    if not video_id:
        raise cursor.error(line, f"found {excerpt(name)}, expected a video id or a path that ends with it")
    num_frames = _parse_num_frames(cursor)
    ground_truth = cursor.rows("ground-truth", _GT_COLUMNS)
    proposals = cursor.rows("proposal", _PROPOSAL_COLUMNS, optional=1)
    cursor.end()
    checks = _Checks(path, fractions, num_classes)
    checks.rows(ground_truth, smallest_label=1, times=slice(1, 3))
    checks.rows(proposals, smallest_label=0, times=slice(3, 5), shares=slice(1, 3))
    return Group(str(path), line, video_id, num_frames, ground_truth, proposals)


def _parse_num_frames(cursor: _Cursor) -> int:
    """Golden rule: n_frames = int(float(second line) * float(third line))."""
    line, count = cursor.take("the number of frames")
    factor = cursor.take("the factor on the number of frames")[1]
    try:
        product = float(count) * float(factor)
    except ValueError:
        product = math.nan
    if not 1 <= product <= MAX_FRAMES:
        raise cursor.error(
            line,
            f"found {excerpt(count)} and {excerpt(factor)}, expected a frame count and a factor: at least 1 frame",
        )
    return int(product)


@dataclass(frozen=True)
class _Checks:
    """Checks the ranges of all values of a section at once, because lists can have a million lines."""

    path: str | os.PathLike
    fractions: bool
    num_classes: int | None

    def rows(self, rows: Rows, smallest_label: int, times: slice, shares: slice = slice(0, 0)) -> None:
        labels = rows.values[:, 0]
        highest = MAX_FRAMES if self.num_classes is None else self.num_classes
        bad_label = (labels < smallest_label) | (labels > highest) | (labels % 1 != 0)
        limit = "" if self.num_classes is None else f" to {self.num_classes} (num_classes)"
        self._refuse(rows, bad_label, f"an unknown label: expected a whole number from {smallest_label}{limit}")
        bad_share = (rows.values[:, shares] < 0) | (rows.values[:, shares] > 1)
        self._refuse(rows, bad_share.any(1), "tIoU or overlap_self outside [0, 1]")
        segments = rows.values[:, times]
        if self.fractions:
            hint = "a time outside [0, 1], expected fractions of the video: is it a P-GCN list (frames)?"
            self._refuse(rows, ((segments < 0) | (segments > 1)).any(1), hint)
        else:
            self._refuse(rows, (segments < 0).any(1), "a negative frame: expected frames from 0")
            hint = f"a time that is not a whole frame below {MAX_FRAMES}: is it an SSN normalized list (fractions)?"
            self._refuse(rows, ((segments > MAX_FRAMES) | (segments % 1 != 0)).any(1), hint)

    def _refuse(self, rows: Rows, bad: np.ndarray, what: str) -> None:
        if bad.any():
            row = int(np.argmax(bad))
            values = " ".join(f"{value:g}" for value in rows.values[row])
            raise InputError(f"{self.path}:{rows.lines[row]}: '{values}' has {what}")
