"""Checkpoints: bit by bit what was saved, the best and the newest kept, and damage noticed in any file."""

import gc
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest

from contextloc_jax.core.errors import InputError
from contextloc_jax.training.optimizer import learning_rate_schedule, sgd
from contextloc_jax.training.step import TrainState
from contextloc_jax.workdir.checkpoints import WEIGHTS, Checkpoints, Damaged, digest, like, nested_arrays

ABOUT = {"config": {"seed": 0, "model.batch_norm": True}, "regression_stats": [[0.1, 0.2], [1.0, 1.5]]}


def train_state(seed=0) -> TrainState:
    """A state like the real one: an optimizer that is a chain of tuples, and a step without a shape."""
    rng = np.random.default_rng(seed)
    params = {
        "head": {"kernel": rng.standard_normal((3, 2), np.float32), "bias": rng.standard_normal(2, np.float32)},
        "norm": {"scale": rng.standard_normal(3, np.float32)},
    }
    optimizer = sgd(learning_rate_schedule(0.1, (), 1.0, 1), 0.9, 1e-3)
    _, opt_state = optimizer.update(params, optimizer.init(params), params)
    stats = {"norm": {"mean": np.full(3, 1 / 3, np.float32)}}
    return jax.tree.map(np.asarray, TrainState(np.asarray(seed, np.int32), params, stats, opt_state))


def saved(workdir, metrics, keep_last=2):
    """Checkpoints with these metrics (or None) at the steps 1, 2, ..."""
    checkpoints = Checkpoints(workdir, keep_last)
    for step, metric in enumerate(metrics, 1):
        checkpoints.save(step, train_state(step), ABOUT, metric)
    checkpoints.wait()
    return checkpoints


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A workdir with the steps 3 (the best), 4 and 5; nothing may write to it."""
    workdir = tmp_path_factory.mktemp("finished")
    saved(workdir, [0.1, 0.2, 0.9, 0.3, 0.4])
    return workdir


def steps(workdir):
    return sorted(int(folder.name) for folder in (workdir / "checkpoints").iterdir())


def test_a_state_comes_back_bit_by_bit(finished):
    for step in (3, 4, 5):
        expected = train_state(step)
        found = like(train_state(), Checkpoints(finished).restore(str(step)).state)
        assert type(found) is TrainState
        pairs = zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True)
        assert all(a.dtype == b.dtype and a.tobytes() == b.tobytes() for a, b in pairs)


def test_what_a_run_needs_travels_with_it(finished):
    assert Checkpoints(finished).restore("4").about == ABOUT | {"metric": 0.3}


def test_weights_alone_come_back_without_the_rest(finished):
    found, expected = Checkpoints(finished).restore("4", WEIGHTS), train_state(4)
    assert found.state.keys() == {"params", "batch_stats"} and found.about == ABOUT | {"metric": 0.3}
    assert digest(found.state) == digest(nested_arrays({name: getattr(expected, name) for name in WEIGHTS}))


def test_weights_of_other_types_come_back(tmp_path):
    state = {"params": {"a": jnp.arange(4, dtype=jnp.bfloat16), "b": np.array([np.pi]), "c": np.zeros((1, 3), np.int8)}}
    checkpoints = Checkpoints(tmp_path, 2)
    checkpoints.save(1, state, {}, None)
    checkpoints.wait()
    found = checkpoints.restore("1").state["params"]
    assert found["a"].dtype == jnp.bfloat16 and found["a"].tolist() == [0, 1, 2, 3]
    assert found["b"].dtype == np.float64 and found["b"] == np.pi
    assert found["c"].dtype == np.int8


def test_best_is_the_highest_metric_and_latest_the_newest(finished):
    reader = Checkpoints(finished)
    assert reader.restore("best").step == 3 and reader.restore("latest").step == 5 and reader.latest == 5
    assert [reader.restore(step).about["metric"] for step in "345"] == [0.9, 0.3, 0.4]


@pytest.mark.parametrize(
    "metrics, keep_last, best, kept",
    [
        ([0.9, 0.1, 0.2, 0.3], 2, 1, [1, 3, 4]),
        ([0.1, 0.2, 0.3, 0.4], 2, 4, [3, 4]),
        ([0.1, 0.3, 0.2, 0.1], 1, 2, [2, 4]),
        ([None, None, None], 2, 3, [2, 3]),  # nothing measured: the latest
        ([0.0, 0.0, 0.0], 1, 3, [3]),
    ],
)
def test_the_newest_and_the_best_are_kept(tmp_path, metrics, keep_last, best, kept):
    checkpoints = saved(tmp_path, metrics, keep_last)
    assert steps(tmp_path) == kept
    assert checkpoints.restore("best").step == best
    assert Checkpoints(tmp_path).restore("best").step == best


def test_the_best_survives_a_resumed_run(tmp_path):
    saved(tmp_path, [0.9, 0.1])
    resumed = Checkpoints(tmp_path, 1)
    for step in (3, 4):
        resumed.save(step, train_state(step), ABOUT, 0.5)
    resumed.wait()
    assert steps(tmp_path) == [1, 4] and resumed.restore("best").step == 1


def test_a_checkpoint_can_be_saved_again_with_its_metric(tmp_path):
    checkpoints = saved(tmp_path, [0.5, 0.1, None])
    checkpoints.save(3, train_state(7), ABOUT, 0.9)
    checkpoints.wait()
    found = Checkpoints(tmp_path).restore("best")
    assert found.step == 3 and found.state["step"] == 7 and steps(tmp_path) == [2, 3]


def test_a_step_by_its_number(finished):
    assert Checkpoints(finished).restore("4").step == 4


@pytest.mark.parametrize("which", ["6", "1", "0", "-1", "first", "", "²", "4.0"])
def test_a_step_that_is_not_there_lists_those_that_are(finished, which):
    with pytest.raises(InputError) as error:
        Checkpoints(finished).restore(which)
    assert str(error.value).startswith(f"--checkpoint={which}: not in ")
    assert str(error.value).endswith("expected best, latest or one of [3, 4, 5]")


@pytest.mark.parametrize("content", ["nothing", "an empty folder", "an unfinished save"])
def test_no_checkpoint_is_one_line_and_leaves_no_folder(tmp_path, content):
    if content != "nothing":
        (tmp_path / "checkpoints").mkdir()
    if content == "an unfinished save":
        (tmp_path / "checkpoints" / "4.orbax-checkpoint-tmp").mkdir()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InputError, match=r"^[^\n]*checkpoint[^\n]*train first, or point --workdir at a trained run$"):
        Checkpoints(tmp_path).restore("best")
    assert sorted(tmp_path.rglob("*")) == before


def test_one_changed_bit_in_an_array_is_noticed(finished, tmp_path):
    """As a disk that returns other bytes than it was given, under a format without checksums."""
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    state = nested_arrays(train_state(5))
    state["params"]["head"]["kernel"].view(np.uint8)[0, 0] ^= 1
    folder = tmp_path / "checkpoints" / "5" / "state"
    shutil.rmtree(folder)
    with ocp.PyTreeCheckpointer() as writer:
        writer.save(folder, state)
    with pytest.raises(InputError, match=r"5: differs from what was saved; use another checkpoint"):
        Checkpoints(tmp_path).restore("5")


def test_one_changed_digit_in_what_is_said_about_it_is_noticed(finished, tmp_path):
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "checkpoints" / "5" / "about" / "metadata"
    path.write_text(path.read_text().replace("1.5", "1.7"))
    with pytest.raises(InputError, match=r"5: differs from what was saved; use another checkpoint"):
        Checkpoints(tmp_path).restore("5")


DAMAGES = {
    "delete": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "flip": lambda path: path.write_bytes(flipped(path.read_bytes())),
}


def flipped(content: bytes) -> bytes:
    """With one bit of every eighth byte changed."""
    return bytes(byte ^ (place % 8 == 3) for place, byte in enumerate(content))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # Orbax's readers left behind
@pytest.mark.parametrize("which, damage", [*(("latest", name) for name in DAMAGES), ("best", "flip"), ("best", "cut")])
def test_any_file_damaged_gives_what_was_saved_or_says_so_and_takes_another(finished, tmp_path, capsys, which, damage):
    meant, instead = {"latest": (5, 4), "best": (3, 5)}[which]
    noticed = set()
    for path in damaged_copies(finished, tmp_path, meant, DAMAGES[damage]):
        reader = Checkpoints(tmp_path / "run")
        found, said = reader.restore(which), capsys.readouterr().err
        assert digest(found.state) == digest(nested_arrays(train_state(found.step))), path
        assert found.about == ABOUT | {"metric": {3: 0.9, 4: 0.3, 5: 0.4}[found.step]}
        assert found.step == (instead if said else meant), path
        if said:
            assert all(line.startswith("warning: ") for line in said.splitlines()) and f"/checkpoints/{meant}" in said
            noticed.add(path.parent.name)
            for refused in ({"which": which, "strict": True}, {"which": str(meant)}):
                with pytest.raises(Damaged, match=r"^[^\n]+$"):
                    reader.restore(**refused)
    assert {"about", "state"} <= noticed
    gc.collect()  # Orbax's abandoned reads complain here rather than after the last test


def test_a_run_goes_on_before_damaged_checkpoints_and_saves_their_steps_anew(finished, tmp_path, capsys):
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    for step in (4, 5):
        (tmp_path / "checkpoints" / str(step) / "about" / "metadata").unlink()
    checkpoints = Checkpoints(tmp_path, 2)
    assert checkpoints.restore("latest").step == 3
    checkpoints.set_aside_after(3)
    assert checkpoints.latest == 3 and "5 was renamed to damaged_5" in capsys.readouterr().err
    for step in (4, 5):
        checkpoints.save(step, train_state(step), ABOUT, 0.1)
    checkpoints.wait()
    assert checkpoints.steps() == [3, 4, 5] and checkpoints.restore("latest").step == 5
    assert checkpoints.restore("best").step == 3


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("damage", ["delete", "cut"])
def test_saving_goes_on_whichever_file_was_damaged(finished, tmp_path, damage):
    for path in damaged_copies(finished, tmp_path, 5, DAMAGES[damage]):
        checkpoints = Checkpoints(tmp_path / "run", 2)
        found = checkpoints.restore("latest").step
        checkpoints.set_aside_after(found)
        checkpoints.save(6, train_state(6), ABOUT, 0.2)
        checkpoints.wait()
        assert checkpoints.steps() == [3, found, 6] and checkpoints.restore("latest").step == 6, path
        assert checkpoints.restore("best").step == 3
    gc.collect()


def test_where_every_checkpoint_is_damaged_there_is_one_line(finished, tmp_path):
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    for path in tmp_path.glob("checkpoints/*/about/metadata"):
        path.write_text("{")
    for which in ("best", "latest"):
        with pytest.raises(Damaged, match=r"^[^\n]*no checkpoint can be read; restore them from a copy[^\n]*$"):
            Checkpoints(tmp_path).restore(which)


def damaged_copies(finished, tmp_path, step, damage):
    """tmp_path/run as a copy of `finished` with one file of a checkpoint damaged, every file in turn."""
    folder = finished / "checkpoints" / str(step)
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        shutil.rmtree(tmp_path / "run", ignore_errors=True)
        shutil.copytree(finished, tmp_path / "run")
        damage(tmp_path / "run" / path.relative_to(finished))
        yield path


def test_digest_depends_on_every_name_type_shape_byte_and_word():
    contents = [
        ({"a": {"b": np.array([0, 1], np.int32)}}, {}),
        ({"a": {"b": np.array([0, 2], np.int32)}}, {}),
        ({"a": {"c": np.array([0, 1], np.int32)}}, {}),
        ({"a": {"b": np.array([[0], [1]], np.int32)}}, {}),
        ({"a": {"b": np.array([0, 1], np.int32).view(np.uint32)}}, {}),
        ({"a": {"b": np.array([0], np.int32)}, "c": np.array([1], np.int32)}, {}),
        ({"a": {"b": np.array([0, 1], np.int32)}}, {"seed": 0}),
        ({"a": {"b": np.array([0, 1], np.int32)}}, {"seed": 1}),
        ({}, {}),
    ]
    assert len({digest(*content) for content in contents}) == len(contents)


def test_digest_does_not_depend_on_order_or_layout():
    assert digest({"x": np.ones(2), "y": np.ones(3)}, {"a": 1, "b": (2,)}) == digest(
        {"y": np.ones(3), "x": np.ones(2)}, {"b": [2], "a": 1}
    )
    assert digest({"x": np.arange(6).reshape(2, 3).T}, {}) == digest({"x": np.arange(6).reshape(2, 3).T.copy()}, {})


def test_nested_arrays_are_named_by_field_key_and_position():
    nested = nested_arrays(train_state(7))
    assert nested["step"] == 7 and nested["params"]["head"]["bias"].shape == (2,)
    momentum = nested["opt_state"]["1"]["trace"]["head"]["bias"]
    assert np.array_equal(momentum, train_state(7).opt_state[1].trace["head"]["bias"])


def test_another_model_is_named_array_by_array():
    state = train_state()
    nested = nested_arrays(state)
    nested["params"]["head"]["kernel"] = np.zeros((3, 5), np.float32)
    del nested["params"]["norm"]
    nested["params"]["l_net"] = {"query": np.zeros(2)}
    with pytest.raises(InputError) as error:
        like(state, nested)
    text = str(error.value)
    for part in (
        "params/head/kernel (3, 5) vs (3, 2)",
        "params/norm/scale absent",
        "params/l_net/query (2,) vs absent",
    ):
        assert part in text
    assert "bias" not in text and "\n" not in text
