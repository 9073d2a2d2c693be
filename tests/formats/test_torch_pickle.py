"""Pickles of torch's files: no code of theirs runs, whatever instructions they hold."""

import os
import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contextloc_jax.core.errors import InputError
from input_pipeline.formats.torch_tensors import TensorFile
from tests.helpers.fuzzing import LONG_FUZZ
from tests.helpers.torch_bytes import SIX, assert_reads_or_refuses, legacy, tensor_pickle, zipped


class RunsCode:
    """Pickles as a call of os.system, which would leave a file."""

    def __init__(self, marker: Path):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


def written(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "video"
    path.write_bytes(data)
    return path


def test_pickles_that_run_code_are_refused_and_not_run(tmp_path):
    marker = tmp_path / "was_run"
    in_dict = {"features": RunsCode(marker)}
    for protocol in (2, 4, 5):
        for content in (RunsCode(marker), in_dict, [in_dict]):
            pickled = pickle.dumps(content, protocol)
            for data in (pickled, zipped(pickled), legacy(pickled), legacy(tensor_pickle(), pickled)):
                path = written(tmp_path, data)
                with pytest.raises(InputError, match=r"video: refused: .*it asks for 'posix\.system'") as error:
                    TensorFile(path)
                assert "\n" not in str(error.value)
    assert not marker.exists()
    pickle.loads(pickled)
    assert marker.exists()  # it would have been


INSTRUCTIONS = [
    b"(",
    b"t",
    b"]",
    b"}",
    b")",
    b"a",
    b"e",
    b"s",
    b"u",
    b"q\x00",
    b"h\x00",
    b"R",
    b"Q",
    b"b",
    b"K\x02",
    b"\x86",
    b"N",
]
NAMES = [
    b"ctorch\nFloatStorage\n",
    b"ctorch._utils\n_rebuild_tensor_v2\n",
    b"ctorch._utils\n_rebuild_parameter\n",
    b"ccollections\nOrderedDict\n",
    b"X\x07\x00\x00\x00storage",
    b"X\x01\x00\x00\x000",
    tensor_pickle()[2:-1],
]


@LONG_FUZZ
@given(st.lists(st.sampled_from(INSTRUCTIONS + NAMES), max_size=25).map(b"".join))
def test_any_program_of_known_instructions_is_read_or_refused(tmp_path, program):
    assert_reads_or_refuses(written(tmp_path, zipped(b"\x80\x02" + program + b".", {"0": SIX})))
