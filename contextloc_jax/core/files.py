"""Files and folders: reads text and JSON with one-line errors, writes a file whole or not at all, makes folders."""

import contextlib
import json
import os
from pathlib import Path
from typing import Any

from contextloc_jax.core.errors import InputError, excerpt


def read_bytes(path: str | os.PathLike, limit: int = -1) -> bytes:
    """The content of a file, or its first `limit` bytes. InputError: the file cannot be read, or it is empty."""
    try:
        with Path(path).open("rb") as file:
            data = file.read(limit)
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have (NUL, lone surrogate)
        raise InputError(f"{_shown(path)}: cannot be read ({_reason(error)}); check the path") from None
    if not data:
        raise InputError(f"{path}: the file is empty; was it written completely?")
    return data


def read_text(path: str | os.PathLike) -> str:
    """The content of a file of UTF-8 text, without byte order mark.

    InputError: as for `read_bytes`; also a byte that is not UTF-8, with its line.
    """
    data = read_bytes(path)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"{path}:{line}: byte 0x{data[error.start]:02x} is not UTF-8 text; save the file as UTF-8, or check"
            " that it is the file you meant"
        ) from None


def read_json(path: str | os.PathLike) -> object:
    """The content of a JSON file.

    InputError: the file is not JSON (with the line), is nested too deeply, or gives a key twice in one object.
    """

    def unique(pairs: list[tuple[str, object]]) -> dict:
        content = dict(pairs)
        if len(content) < len(pairs):
            keys = [key for key, _ in pairs]
            twice = next(key for key in keys if keys.count(key) > 1)
            raise InputError(f"{path}: key {excerpt(twice)} occurs twice in one object; remove one of them")
        return content

    text = read_text(path)
    if not text.strip():
        raise InputError(f"{path}: the file is empty; was it written completely?")
    try:
        return json.loads(text, object_pairs_hook=unique)
    except json.JSONDecodeError as error:
        raise InputError(f"{path}:{error.lineno}: not valid JSON ({error.msg}); was it written completely?") from None
    except RecursionError:
        raise InputError(f"{path}: JSON nested too deeply; expected the few levels of the documented form") from None
    except ValueError as error:  # InputError, or an integer of thousands of digits
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: not valid JSON ({error}); expected numbers of ordinary size") from None


def write_whole(path: str | os.PathLike, data: bytes | memoryview | str) -> None:
    """Writes a file, whole or not at all; text as UTF-8. InputError: the file cannot be written.

    The data goes to a new file beside `path`, which then replaces `path`. So no reader ever sees a part of it.
    """
    path = Path(path)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        data = data.encode() if isinstance(data, str) else data
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except (OSError, ValueError) as error:
        with contextlib.suppress(OSError, ValueError):
            part.unlink()
        raise InputError(f"{_shown(path)}: cannot be written ({_reason(error)}); choose a writable folder") from None


def write_json(path: str | os.PathLike, content: object, **options: Any) -> None:
    """Writes a JSON file of a workdir, whole or not at all. The same content gives the same bytes."""
    write_whole(path, json.dumps(content, **({"indent": 2, "sort_keys": True} | options)) + "\n")


def make_folder(path: str | os.PathLike, name: str = "--workdir") -> Path:
    """Makes a folder and its parents where they do not exist yet, and returns the folder.

    name: what the error message calls the folder. InputError: the folder cannot be made.
    """
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise InputError(f"{name}={path}: cannot write there ({_reason(error)}); choose another folder") from None
    return Path(path)


def _shown(path: str | os.PathLike) -> str:
    """The path for an error message. A path that cannot be printed is escaped."""
    return str(path) if str(path).isprintable() else excerpt(str(path))


def _reason(error: OSError | ValueError) -> str:
    return getattr(error, "strerror", None) or str(error)
