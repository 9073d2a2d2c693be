"""Reading text, JSON and times from outside: every fault is one line (InputError), everything skipped is counted."""

import contextlib
import json
import math
import os
import reprlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from contextloc_jax.errors import InputError

MAX_SECONDS = 1e8  # three years of video; a larger number is a mistake
_excerpt = reprlib.Repr()
_excerpt.maxstring = _excerpt.maxother = 60


@dataclass
class ReadReport:
    """What readers skipped or changed by their documented rules: {what: [where, ...]} in reading order.

    Pass one to a reader and it is filled; one report may serve several files.
    """

    findings: dict[str, list[str]] = field(default_factory=dict)

    def note(self, what: str, where: str) -> None:
        """Counts one more `what`, found at `where` (file and line, or file and video)."""
        self.findings.setdefault(what, []).append(where)

    def count(self, what: str) -> int:
        """How often `what` was noted."""
        return len(self.findings.get(what, ()))

    def lines(self) -> list[str]:
        """One printable line a finding: how often, what, and where first."""
        return [f"{len(where)} x {what} (first: {where[0]})" for what, where in self.findings.items()]


def excerpt(value: object) -> str:
    """`value` for an error message: one short line, whatever it holds."""
    return _excerpt.repr(value)


def read_bytes(path: str | os.PathLike, limit: int = -1) -> bytes:
    """The file, or its first `limit` bytes. InputError: it cannot be read, or is empty."""
    try:
        with Path(path).open("rb") as file:
            data = file.read(limit)
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have (NUL, lone surrogate)
        raise InputError(f"{excerpt(str(path))}: cannot be read ({_reason(error)}): check the path") from None
    if not data:
        raise InputError(f"{path}: the file is empty: was it written completely?")
    return data


def read_text(path: str | os.PathLike) -> str:
    """The whole file as UTF-8 text, without byte order mark. InputError as `read_bytes`, or the line of a bad byte."""
    data = read_bytes(path)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"{path}:{line}: byte 0x{data[error.start]:02x} is not UTF-8 text: save the file as UTF-8, or check"
            " that it is the file you meant"
        ) from None


def read_json(path: str | os.PathLike) -> object:
    """The parsed JSON file. InputError: not JSON (with its line), nested too deeply, or a key given twice."""
    text = read_text(path)

    def unique(pairs: list[tuple[str, object]]) -> dict:
        content = dict(pairs)
        if len(content) < len(pairs):
            keys = [key for key, _ in pairs]
            twice = next(key for key in keys if keys.count(key) > 1)
            raise InputError(f"{path}: {excerpt(twice)} occurs twice in one object: remove one of them")
        return content

    try:
        return json.loads(text, object_pairs_hook=unique)
    except json.JSONDecodeError as error:
        raise InputError(f"{path}:{error.lineno}: not valid JSON ({error.msg}): was it written completely?") from None
    except RecursionError:
        raise InputError(f"{path}: JSON nested too deeply: expected the few levels of the documented form") from None
    except ValueError as error:  # an integer of thousands of digits
        raise InputError(f"{path}: not valid JSON ({error}): expected numbers of ordinary size") from None


def parse_seconds(value: object, where: str, what: str) -> float:
    """A time in seconds from JSON or CSV: a number or its text. InputError: anything else, negative, not finite."""
    try:
        seconds = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        seconds = math.nan
    if not 0 <= seconds <= MAX_SECONDS:
        raise InputError(f"{where}: {what} is {excerpt(value)}, expected seconds: a number from 0")
    return seconds


def parse_segment(value: object, where: str) -> tuple[float, float]:
    """[start, end] in seconds, in whatever order. InputError: not two times."""
    if not isinstance(value, list) or len(value) != 2:
        raise InputError(f"{where}: segment is {excerpt(value)}, expected [start, end] in seconds")
    return parse_seconds(value[0], where, "segment start"), parse_seconds(value[1], where, "segment end")


def write_lines(path: str | os.PathLike, lines: Iterable[str]) -> None:
    """Writes UTF-8 text, each line ended by a newline; whole or not at all. InputError: it cannot be written."""
    path = Path(path)
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("w", encoding="utf-8", newline="\n") as file:
            file.writelines(f"{line}\n" for line in lines)
        partial.replace(path)
    except (OSError, ValueError) as error:
        raise InputError(f"{excerpt(str(path))}: cannot be written ({_reason(error)})") from None
    finally:
        with contextlib.suppress(OSError, ValueError):
            partial.unlink()


def _reason(error: OSError | ValueError) -> str:
    return getattr(error, "strerror", None) or str(error)
