"""A finished run, and files, for the tests of the commands."""

import json

import pytest

from contextloc_jax.interchange.detection_files import write_activitynet
from contextloc_jax.localization.decode import detect
from tests.helpers.scored_runs import LABELS, scores
from tests.helpers.scored_videos import detection_settings
from tests.helpers.tiny_runs import finished_run


@pytest.fixture
def files(tmp_path):
    """A function that writes content as JSON and returns its path."""

    def write(name: str, content: object) -> str:
        (tmp_path / name).write_text(json.dumps(content))
        return str(tmp_path / name)

    return write


@pytest.fixture
def found(tmp_path) -> str:
    """Detections of all videos, in a file."""
    path = tmp_path / "found.json"
    write_activitynet(path, detect(scores(0, 2.0), LABELS, detection_settings()))
    return str(path)


@pytest.fixture(scope="module")
def whole_run(quick_compiler, kept_runs):
    """(workdir, TensorBoard writers) of a run from start to end."""
    return finished_run(kept_runs)


@pytest.fixture
def finished(whole_run):
    """The workdir; tests may evaluate it again but change nothing."""
    return whole_run[0]
