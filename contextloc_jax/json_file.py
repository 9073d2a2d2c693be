"""JSON files read with one-line faults, and any file written whole or not at all."""

import contextlib
import json
import os
from pathlib import Path

from contextloc_jax.errors import InputError


def read_json(path: str | os.PathLike) -> object:
    """The parsed file. InputError: it cannot be read, is empty, no JSON (with its line), or has a key twice."""

    def unique(pairs: list[tuple[str, object]]) -> dict:
        content = dict(pairs)
        if len(content) < len(pairs):
            keys = [key for key, _ in pairs]
            twice = next(key for key in keys if keys.count(key) > 1)
            raise InputError(f"{path}: key {twice!r:.80} occurs twice in one object; remove one of them")
        return content

    text = read_text(path)
    try:
        return json.loads(text, object_pairs_hook=unique)
    except json.JSONDecodeError as error:
        raise InputError(f"{path}:{error.lineno}: not valid JSON ({error.msg}); was it written completely?") from None
    except (RecursionError, ValueError) as error:
        raise InputError(f"{path}: not valid JSON ({error}); expected the documented form") from None


def read_text(path: str | os.PathLike) -> str:
    """The whole file as UTF-8 text. InputError: it cannot be read, is empty or is no text."""
    try:
        text = Path(path).read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the path") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: byte {error.start} is not UTF-8 text; is it the file you meant?") from None
    if not text.strip():
        raise InputError(f"{path}: the file is empty; was it written completely?")
    return text


def write_whole(path: str | os.PathLike, data: bytes) -> None:
    """Writes beside the file first and then replaces it. InputError: it cannot be written."""
    path = Path(path)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(data)
        os.replace(part, path)
    except OSError as error:
        with contextlib.suppress(OSError):  # where the folder is a file, there is nothing to remove either
            part.unlink()
        raise InputError(f"{path}: cannot be written ({error.strerror}); choose a writable folder") from None
