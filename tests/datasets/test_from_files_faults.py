"""Whatever is wrong with the files of a dataset is one line, and nothing is written."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest

from contextloc_jax.core.errors import InputError
from input_pipeline.formats.proposal_list import read_proposal_list, write_proposal_list
from tests.helpers.custom_files import settings_and_inputs, write_dataset
from tests.helpers.published import FPS
from tests.helpers.tiny_runs import WIDTH


def edited_list(number: int, text: bytes):
    """Replaces a line of the test list."""

    def edit(keys):
        path = Path(keys["test_proposals"])
        lines = path.read_bytes().split(b"\n")
        lines[number - 1] = text
        path.write_bytes(b"\n".join(lines))

    return edit


def saved(name: str, array) -> object:
    return lambda keys: np.save(Path(keys["test_features"]) / name, array)


def content(name: str, data: bytes) -> object:
    return lambda keys: (Path(keys["test_features"]) / name).write_bytes(data)


def without_proposals(keys):
    records = read_proposal_list(keys["test_proposals"], FPS)
    none = {
        field.name: getattr(records[0], field.name)[:0]
        for field in dataclasses.fields(records[0])
        if field.name.startswith("proposal") and getattr(records[0], field.name) is not None
    }
    write_proposal_list(keys["test_proposals"], [dataclasses.replace(record, **none) for record in records])


def truncated_list(keys):
    path = Path(keys["test_proposals"])
    path.write_bytes(b"\n".join(path.read_bytes().split(b"\n")[:30]))


BAD = {  # what is wrong: (how it is made, parts of the one line that says so)
    "truncated list": (truncated_list, ("test.txt:", "truncated")),
    "truncated within a line": (edited_list(9, b"2 0.8"), ("test.txt:9", "expected 5 finite numbers")),
    "line missing": (edited_list(2, b""), ("test.txt:",)),
    "negative frame": (edited_list(6, b"1 -5 90"), ("test.txt:6", "negative")),
    "NaN time": (edited_list(6, b"1 nan 90"), ("test.txt:6", "finite")),
    "unknown label": (edited_list(6, b"9 5 90"), ("test.txt:6", "label", "2 (num_classes)")),
    "duplicate video": (lambda keys: Path(keys["test_proposals"]).write_text(
        2 * Path(keys["test_proposals"]).read_text()), ("test.txt:", "listed at line 2")),
    "not UTF-8": (edited_list(2, b"caf\xe9"), ("test.txt:2", "UTF-8")),
    "empty list": (lambda keys: Path(keys["test_proposals"]).write_bytes(b""), ("test.txt", "empty")),
    "wrong rank": (saved("test_0.npy", np.ones(7)), ("test_0.npy", "shape (7,)")),
    "wrong width": (saved("test_1.npy", np.ones((40, WIDTH + 1))), ("test_1.npy", f"[snippets, {WIDTH}]")),
    "no snippet": (saved("test_1.npy", np.ones((0, WIDTH))), ("test_1.npy", "shape (0, 8)")),
    "empty feature file": (content("test_1.npy", b""), ("test_1.npy", "empty")),
    "damaged feature file": (content("test_1.npy", b"\x93NUMPY\x01\x00garbage"), ("test_1.npy", "cannot be read")),
    "pickle that runs code": (content("test_1.npy", b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00exit\x85R."),
                              ("test_1.npy", "os.system")),
    "all features NaN": (lambda keys: [saved(f"test_{i}.npy", np.full((40, WIDTH), np.nan))(keys) for i in (0, 1)],
                         ("test_features", "NaN")),
    "0 proposals": (without_proposals, ("test.txt", "not one proposal")),
    "no features": (lambda keys: shutil.rmtree(keys["test_features"]), ("test_features", "no such folder")),
    "other names": (lambda keys: [path.rename(path.with_name("x" + path.name)) for path in
                                  list(Path(keys["test_features"]).iterdir())],
                    ("test_features", "none of the 2 videos")),
    "path not set": (lambda keys: keys.pop("train_features"), ("config.data.train_features is not set",)),
    "too few classes": (lambda keys: keys.update(num_classes=1), ("(num_classes)",)),
    "no classes": (lambda keys: keys.update(num_classes=0), ("config.data.num_classes is 0",)),
    "frame rate 0": (lambda keys: keys.update(fps=0.0), ("config.data.fps is 0",)),
    "unknown dtype": (lambda keys: keys.update(feature_dtype="float8"), ("config.data.feature_dtype",)),
    "too large for float16": (lambda keys: (saved("test_1.npy", np.full((40, WIDTH), 1e5))(keys),
                                            keys.update(feature_dtype="float16")), ("float16", "float32")),
}  # fmt: skip


@pytest.mark.parametrize("fault", BAD)
def test_whatever_is_wrong_is_one_line_and_nothing_is_written(tmp_path, fault):
    break_it, parts = BAD[fault]
    keys = write_dataset(tmp_path / "files")
    break_it(keys)
    with pytest.raises(InputError) as raised:
        _, inputs = settings_and_inputs(keys)
        inputs.prepare(str(tmp_path / "run"))
    message = str(raised.value)
    assert "\n" not in message and all(part in message for part in parts), message
    left = [path for path in (tmp_path / "run").rglob("*") if path.is_file()]
    assert not left
