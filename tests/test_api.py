"""The library: the numbers of the command line, to the bit, and one line for every mistake."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import contextloc_jax as cl
from input_pipeline.formats.proposal_tables import read_proposal_csv
from input_pipeline.formats.values import ReadReport
from tests.helpers.custom_files import write_dataset
from tests.helpers.custom_runs import predict, train
from tests.helpers.paths import ROOT

pytestmark = pytest.mark.usefixtures("quick_compiler")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """(keys of config.data, workdir) of a run on proposals in seconds, with predictions of its test videos."""
    folder = tmp_path_factory.mktemp("library")
    keys = write_dataset(folder / "files", "csv")
    train(keys, folder / "run")
    own = {name: keys[name] for name in ("num_classes", "test_features", "test_proposals", "annotations")}
    predict(own, folder / "run")
    return keys, folder / "run"


@pytest.fixture(scope="module")
def localizer(trained):
    return cl.Localizer.load(trained[1])


def videos(keys):
    """(id, features, proposals in seconds, fps and duration) of the test videos, read through the library."""
    annotated = json.loads(Path(keys["annotations"]).read_text())["database"]
    for proposals in read_proposal_csv(keys["test_proposals"], ReadReport()):
        about = annotated[proposals.video_id]
        timing = {"fps": about["fps"], "duration_seconds": about["duration"]}
        features = cl.read_features(keys["test_features"], proposals.video_id)
        yield proposals.video_id, features, proposals.segments_seconds, timing


def test_a_localizer_finds_what_predict_finds_to_the_bit(trained, localizer, tmp_path, capsys):
    keys, workdir = trained
    found = cl.concatenate([localizer(f, p, video_id=name, **timing) for name, f, p, timing in videos(keys)])
    cl.write_detections(tmp_path / "detections.json", found)
    cl.write_detections(tmp_path / "detections.csv", found)
    for name in ("detections.json", "detections.csv"):
        assert (tmp_path / name).read_bytes() == (workdir / "predictions" / name).read_bytes()
    assert capsys.readouterr() == ("", "")  # no library function prints


def test_settings_of_detections_can_be_changed_and_others_not(trained, localizer):
    keys, workdir = trained
    _, features, proposals, timing = next(videos(keys))
    few = cl.Localizer.load(workdir, settings={"detection.top_k": 3})
    assert len(few(features, proposals, **timing).scores) <= 3 < len(localizer(features, proposals, **timing).scores)
    for key, value, message in (
        ("model.graph_width", 8, "is not a setting that a trained model can change"),
        ("detection.nms_tiu", 0.5, "not a setting"),
        ("detection.nms_tiou", 35, r"config\.detection\.nms_tiou is 35; expected"),
    ):
        with pytest.raises(cl.InputError, match=message):
            cl.Localizer.load(workdir, settings={key: value})


def test_without_a_duration_a_video_is_as_long_as_its_snippets(trained, localizer):
    _, features, proposals, timing = next(videos(trained[0]))
    timing["duration_seconds"] = (8 * (len(features) - 1) + 64) / timing["fps"]
    stated, guessed = localizer(features, proposals, **timing), localizer(features, proposals, fps=timing["fps"])
    assert all(np.array_equal(a, b) for a, b in zip(stated[2:], guessed[2:], strict=True))


def test_a_video_without_proposals_has_no_detections(trained, localizer):
    _, features, _, timing = next(videos(trained[0]))
    found = localizer(features, np.zeros((0, 2)), **timing)
    assert found.video_ids == ["video"] and len(found.scores) == 0 and found.labels == localizer.class_names


@pytest.mark.parametrize(
    "change, message",
    [
        ({"features": np.zeros((40, 3))}, "features are 3 wide; checkpoint .* features of width 8"),
        ({"features": np.zeros(40)}, r"features are float64 \(40,\); expected numbers"),
        ({"features": np.full((40, 8), np.nan)}, "NaN or infinite features, first in snippet 0"),
        ({"features": np.array([["a"]])}, "expected numbers"),
        ({"proposals_seconds": [1, 2]}, r"expected finite numbers \[N, 2\]"),
        ({"proposals_seconds": [[3, 2]]}, r"proposal 0 is \[3.0, 2.0\]; expected 0 <= start <= end"),
        ({"proposals_seconds": [[np.nan, 2]]}, "expected finite numbers"),
        ({"fps": 0}, "fps is 0; expected a number above 0"),
        ({"duration_seconds": np.inf}, "duration_seconds is inf; expected a number above 0"),
    ],
)
def test_wrong_arguments_are_one_line(trained, localizer, change, message):
    _, features, proposals, timing = next(videos(trained[0]))
    arguments = {"features": features, "proposals_seconds": proposals, **timing} | change
    with pytest.raises(cl.InputError, match=message) as error:
        localizer(arguments.pop("features"), arguments.pop("proposals_seconds"), **arguments)
    assert "\n" not in str(error.value) and isinstance(error.value, ValueError)


def test_loading_what_is_no_run_is_one_line(tmp_path):
    with pytest.raises(cl.InputError, match="no checkpoints here; train first"):
        cl.Localizer.load(tmp_path)


def test_files_are_evaluated_as_on_the_command_line(trained):
    keys, workdir = trained
    detections = cl.read_detections(workdir / "detections.json")
    truth = cl.read_annotations(keys["annotations"], "thumos14")
    metrics = json.loads((workdir / "metrics.json").read_text())
    assert cl.evaluate(detections, truth, "thumos14").items() <= metrics.items()
    curve = cl.average_recall(detections, truth, max_average=10)
    assert 0 <= curve.at(1) <= curve.at(10) <= 1
    with pytest.raises(cl.InputError, match="protocol 'coco' is unknown"):
        cl.evaluate(detections, truth, "coco")
    with pytest.raises(cl.InputError, match=r"ends in \.json"):
        cl.write_detections(workdir / "detections.txt", detections)


def test_the_flax_modules_are_public(localizer):
    assert isinstance(localizer.settings.model, cl.ContextLoc)
    assert {cl.LNet.__name__, cl.GNet.__name__, cl.PGCN.__name__, cl.NonLocal.__name__} == {
        "LNet", "GNet", "PGCN", "NonLocal",
    }  # fmt: skip


def test_importing_the_library_brings_neither_jax_nor_tensorflow():
    code = (
        "import sys, contextloc_jax as cl\n"
        "cl.evaluate, cl.read_annotations, cl.read_detections, cl.write_detections, cl.average_recall, cl.Localizer\n"
        "assert not {'jax', 'flax', 'tensorflow', 'tensorflow_datasets', 'ml_collections'} & set(sys.modules)\n"
        "assert set(cl.__all__) <= set(dir(cl))\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_every_public_name_is_documented_with_an_example():
    page = (ROOT / "docs" / "api.md").read_text()
    for name in cl.__all__:
        assert f"`{name}" in page and f"cl.{name}" in page, name
    for block in page.split("```python\n")[1:]:
        ast.parse(block.split("```")[0])


@pytest.mark.slow
def test_the_example_gives_the_detections_of_the_demos_run(tmp_path):
    """examples/localize.py on a short run of the demo's configuration."""
    short = ["--config.num_epochs=1", "--config.visits_per_epoch=1", "--config.refit=False"]
    short += ["--config.evaluate_every=1", "--config.data.validation_fraction=0.0"]
    main = [sys.executable, ROOT / "main.py", f"--config={ROOT / 'configs' / 'shoulder.py'}", "--workdir=run", *short]
    subprocess.run(main, cwd=tmp_path, check=True, capture_output=True)
    example = [sys.executable, ROOT / "examples" / "localize.py", "run"]
    process = subprocess.run(
        example, cwd=tmp_path, check=True, capture_output=True, text=True, env={"PYTHONPATH": str(ROOT)}
    )
    evaluated = json.loads((tmp_path / "run" / "detections.json").read_text())["results"]
    assert json.loads((tmp_path / "detections.json").read_text())["results"] == evaluated
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert process.stdout.splitlines()[-1] == f"average mAP {metrics['average_mAP']:.4f}"
