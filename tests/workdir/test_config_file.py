"""A workdir's configuration: flat, compared key by key, and kept by a run that has begun."""

import json

import pytest

from configs import default
from contextloc_jax.core.errors import InputError
from contextloc_jax.workdir.config_file import SCORING_KEYS, check_same, claim_workdir, flatten

SAVED = {"seed": 0, "model.batch_norm": True, "model.graph_width": 8, "data.fps": 30.0}


def test_flatten_names_every_leaf_and_gives_json_values():
    nested = {"seed": 1, "optimizer": {"decay_epochs": (15, 30), "rate": {"first": 0.1}}, "file": None}
    assert flatten(nested) == {"seed": 1, "optimizer.decay_epochs": [15, 30], "optimizer.rate.first": 0.1, "file": None}


def test_the_default_config_survives_json():
    flat = flatten(default.get_config())
    assert json.loads(json.dumps(flat)) == flat


def test_the_same_config_passes():
    check_same(SAVED, dict(SAVED), "here")


def test_every_differing_key_is_named_with_both_values():
    current = {"seed": 1, "model.batch_norm": True, "model.graph_width": 16, "new": "x"}
    with pytest.raises(InputError) as error:
        check_same(SAVED, current, "runs/a")
    text = str(error.value)
    assert text.startswith("runs/a was made with another config: ")
    assert text.endswith("; use the same values, or a new --workdir")
    for part in ("seed is 1, expected 0", "model.graph_width is 16, expected 8", "data.fps is None, expected 30.0"):
        assert part in text
    assert "new is 'x', expected None" in text and "batch_norm" not in text and "\n" not in text


def test_only_the_given_keys_are_compared():
    check_same(SAVED, SAVED | {"seed": 1, "data.fps": 25.0}, "here", SCORING_KEYS)
    for key in ("model.graph_width", "data.num_classes", "data.snippet_stride", "data.snippet_length"):
        with pytest.raises(InputError, match=key):
            check_same(SAVED, SAVED | {key: 99}, "here", SCORING_KEYS)


def test_a_workdir_is_made_and_keeps_its_config(tmp_path):
    workdir = tmp_path / "runs" / "a"
    claim_workdir(workdir, SAVED)
    assert json.loads((workdir / "config.json").read_text()) == SAVED
    written = (workdir / "config.json").read_bytes()
    claim_workdir(workdir, dict(reversed(SAVED.items())))
    assert (workdir / "config.json").read_bytes() == written


def test_a_begun_run_refuses_another_config_and_stays_as_it_is(tmp_path):
    claim_workdir(tmp_path, SAVED)
    (tmp_path / "checkpoints" / "4").mkdir(parents=True)
    with pytest.raises(InputError, match="seed is 1, expected 0"):
        claim_workdir(tmp_path, SAVED | {"seed": 1})
    assert json.loads((tmp_path / "config.json").read_text()) == SAVED


def test_a_run_that_saved_nothing_may_start_again_with_another_config(tmp_path):
    """So that the first mistake, once fixed, is not held against the user."""
    claim_workdir(tmp_path, SAVED)
    (tmp_path / "checkpoints" / "4.orbax-checkpoint-tmp").mkdir(parents=True)
    claim_workdir(tmp_path, SAVED | {"seed": 1})
    assert json.loads((tmp_path / "config.json").read_text()) == SAVED | {"seed": 1}


@pytest.mark.parametrize("content", ["", '{"seed": ', "\xff"])
def test_a_damaged_config_is_one_line(tmp_path, content):
    (tmp_path / "checkpoints" / "4").mkdir(parents=True)
    (tmp_path / "config.json").write_text(content, encoding="latin-1")
    with pytest.raises(InputError, match=r"^[^\n]*config\.json[^\n]*$"):
        claim_workdir(tmp_path, SAVED)


@pytest.mark.parametrize("workdir", ["file", "file/run"])
def test_a_workdir_that_cannot_be_written_is_one_line(tmp_path, workdir):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(InputError, match=r"^--workdir=[^\n]*: cannot write there \(.*\); choose another folder$"):
        claim_workdir(tmp_path / workdir, SAVED)
