"""Torch checkpoints on small models: names, ablations, every complaint, and real files where torch is installed."""

import re
import sys
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest

from contextloc_jax.errors import InputError
from contextloc_jax.torch_import import (
    from_variables,
    model_sizes,
    read_torch_checkpoint,
    to_variables,
    unpack_checkpoint,
    write_torch_checkpoint,
)

REGRESSION_STATS = np.array([[0.01, -0.2], [0.1, 0.3]])
D, H, HIDDEN, K = 6, 4, 3, 2


def state_dict_of(**off) -> dict[str, np.ndarray]:
    """A small state_dict with the authors' names; `local=False`, `graph=False`, ... leave parts out."""
    has = dict.fromkeys(("local", "globally", "adaptation", "boundaries", "norm", "graph"), True) | off
    a = 2 * H if has["globally"] else H if has["local"] else D
    c = 3 * a if has["boundaries"] else a
    shapes = {}
    for head, inputs, outputs in (("activity", a, K + 1), ("completeness", c, K), ("regressor", c, 2 * K)):
        shapes |= {f"{head}_fc.weight": (outputs, 2 * inputs), f"{head}_fc.bias": (outputs,)}
    for graph, width in (("Act_GCN", a), ("Comp_GCN", c)) if has["graph"] else ():
        shapes |= {f"{graph}.gc1.weight": (width, HIDDEN), f"{graph}.gc1.bias": (HIDDEN,)}
        shapes |= {f"{graph}.gc2.weight": (HIDDEN, width), f"{graph}.gc2.bias": (width,)}
    if has["local"] or has["globally"]:
        shapes |= {"LGNet.weight": (D, H), "LGNet.bias": (H,)} | ({"LGNet.weight1": (D, H)} if has["local"] else {})
    if has["globally"]:
        shapes |= {"LGNet_G.weight": (D, H), "LGNet_G.bias": (H,)}
        shapes |= {"LGNet_G.weight1": (D, H)} if has["adaptation"] else {}
    for norm, width in (("BN_A", a), ("BN_C", c)) if has["norm"] else ():
        shapes |= {f"{norm}.{name}": (width,) for name in ("weight", "bias", "running_mean", "running_var")}
    draws = np.random.default_rng(0)
    arrays = {name: draws.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    return arrays | (
        {f"{n}.num_batches_tracked": np.array(7, np.int64) for n in ("BN_A", "BN_C")} if has["norm"] else {}
    )


def expected_of(variables) -> dict:
    """The shapes of a tree of variables, as the model would state them."""
    return {
        name: expected_of(value) if isinstance(value, dict) else value.shape
        for name, value in variables.items()
        if name != "batches_tracked"
    }


def expected_tree() -> dict:
    """Shapes of the whole small model in our tree, by hand."""
    a, c = 2 * H, 6 * H

    def linear(inputs, outputs):
        return {"kernel": (inputs, outputs), "bias": (outputs,)}

    net = {"query": (D, H), "context": (D, H), "bias": (H,)}
    params = {
        "l_net": net,
        "g_net": net,
        "activity_norm": {"scale": (a,), "bias": (a,)},
        "completeness_norm": {"scale": (c,), "bias": (c,)},
        "activity_graph": {"first": linear(a, HIDDEN), "second": linear(HIDDEN, a)},
        "completeness_graph": {"first": linear(c, HIDDEN), "second": linear(HIDDEN, c)},
        "activity_head": linear(2 * a, K + 1),
        "completeness_head": linear(2 * c, K),
        "regression_head": linear(2 * c, 2 * K),
    }
    stats = {"activity_norm": {"mean": (a,), "var": (a,)}, "completeness_norm": {"mean": (c,), "var": (c,)}}
    return {"params": params, "batch_stats": stats}


def without(tree: dict, *paths: str) -> dict:
    """A copy of the tree without these branches or leaves ('params/l_net/context')."""
    return {
        name: without(value, *(path.removeprefix(f"{name}/") for path in paths if path.startswith(f"{name}/")))
        if isinstance(value, dict)
        else value
        for name, value in tree.items()
        if name not in paths
    }


def assert_equal(actual: dict, expected: dict) -> None:
    assert sorted(actual) == sorted(expected)
    for name, array in expected.items():
        assert actual[name].dtype == array.dtype, name
        np.testing.assert_array_equal(actual[name], array, err_msg=name, strict=True)


def assert_one_line(error, *parts: str) -> None:
    message = str(error.value)
    assert "\n" not in message
    for part in parts:
        assert part in message


# Names and sizes


@pytest.mark.parametrize(
    ("off", "removed", "sizes"),
    [
        ({}, (), {"feature_width": D, "context_width": H, "adaptation": True, "graph_width": HIDDEN}),
        ({"local": False}, ("params/l_net/context",), {"local_context": False, "global_context": True}),
        ({"adaptation": False}, ("params/g_net/context",), {"adaptation": False, "context_width": H}),
        (
            {"norm": False},
            ("batch_stats", "params/activity_norm", "params/completeness_norm"),
            {"batch_norm": False, "num_classes": K},
        ),
        (
            {"graph": False},
            ("params/activity_graph", "params/completeness_graph"),
            {"proposal_net": "none", "boundary_segments": True},
        ),
    ],
)
def test_every_ablation_round_trips_and_is_recognised(off, removed, sizes):
    state_dict = state_dict_of(**off)
    variables = to_variables(state_dict, without(expected_tree(), *removed))
    assert_equal(from_variables(variables), state_dict)
    assert sizes.items() <= model_sizes(state_dict).items()
    assert ("graph_width" in model_sizes(state_dict)) == off.get("graph", True)


def test_sizes_of_the_baseline_and_without_boundary_segments():
    baseline = model_sizes(state_dict_of(local=False, globally=False, norm=False))
    assert baseline == {
        "feature_width": D,
        "num_classes": K,
        "local_context": False,
        "global_context": False,
        "batch_norm": False,
        "boundary_segments": True,
        "proposal_net": "pgcn",
        "graph_width": HIDDEN,
    }
    assert model_sizes(state_dict_of(boundaries=False))["boundary_segments"] is False


def test_expected_leaves_may_be_arrays():
    variables = to_variables(state_dict_of(), expected_tree())
    assert_equal(from_variables(to_variables(state_dict_of(), expected_of(variables))), state_dict_of())
    arrays = {name: variables[name] for name in ("params", "batch_stats")}
    assert_equal(from_variables(to_variables(state_dict_of(), arrays)), state_dict_of())


def test_variables_are_float32_and_do_not_share_memory_with_the_file():
    for dtype in (np.float16, np.float32, np.float64):
        state_dict = {name: array.astype(dtype) for name, array in state_dict_of().items()}
        before = state_dict["LGNet.weight"].copy()
        query = to_variables(state_dict, expected_tree())["params"]["l_net"]["query"]
        assert query.dtype == np.float32
        np.testing.assert_array_equal(query, before.astype(np.float32))
        query += 1
        np.testing.assert_array_equal(state_dict["LGNet.weight"], before)


def test_batch_counts_default_to_zero():
    """A model trained here has none; torch before 0.4.1 saved none."""
    variables = to_variables(state_dict_of(), expected_tree())
    del variables["batches_tracked"]
    uncounted = state_dict_of() | {f"{norm}.num_batches_tracked": np.array(0) for norm in ("BN_A", "BN_C")}
    assert_equal(from_variables(variables), uncounted)
    old = {name: array for name, array in state_dict_of().items() if not name.endswith("num_batches_tracked")}
    assert_equal(from_variables(to_variables(old, expected_tree())), uncounted)


# Complaints


def test_every_tensor_that_does_not_fit_is_named_with_both_shapes():
    state_dict = state_dict_of()
    del state_dict["LGNet.weight1"]
    state_dict["activity_fc.weight"] = np.zeros((9, 4 * H), np.float32)
    state_dict["BN_A.num_batches_tracked"] = np.zeros(2, np.int64)
    state_dict["base_model.conv.weight"] = np.zeros((5, 5), np.float32)
    with pytest.raises(InputError) as error:
        to_variables(state_dict, expected_tree(), source="some.pth")
    assert_one_line(
        error,
        "some.pth: 4 tensors",
        "LGNet.weight1 absent vs (6, 4)",
        "activity_fc.weight (9, 16) vs (3, 16)",
        "BN_A.num_batches_tracked (2,) vs ()",
        "base_model.conv.weight (5, 5) vs absent",
        "config.model",
    )


def test_contextloc_file_for_a_pgcn_model():
    norms = ("params/activity_norm", "params/completeness_norm")
    expected = without(expected_tree(), "batch_stats", "params/l_net", "params/g_net", *norms)
    with pytest.raises(InputError) as error:
        to_variables(state_dict_of(), expected)
    assert_one_line(error, "16 tensors", "LGNet.weight (6, 4) vs absent", "BN_C.num_batches_tracked () vs absent")


def test_the_non_local_net_has_no_torch_form():
    expected = expected_tree()
    expected["params"]["activity_graph"] = {"query": {"kernel": (2 * H, HIDDEN)}}
    variables = {"params": {"activity_graph": {"query": {"kernel": np.zeros((2 * H, HIDDEN))}}}}
    for convert in (lambda: to_variables(state_dict_of(), expected), lambda: from_variables(variables)):
        with pytest.raises(InputError) as error:
            convert()
        assert_one_line(error, "params/activity_graph/query/kernel", "proposal_net")


def test_sizes_of_another_model():
    with pytest.raises(InputError) as error:
        model_sizes({"fc.weight": np.zeros((2, 2))}, source="resnet.pth")
    assert_one_line(error, "resnet.pth", "activity_fc.weight and completeness_fc.weight", "fc.weight")


@pytest.mark.parametrize("prefix", ["", "module.", "module.module."])
@pytest.mark.parametrize("nested", [True, False])
def test_contents_of_either_form(prefix, nested):
    state_dict = OrderedDict((prefix + name, array) for name, array in state_dict_of().items())
    scripts = {"epoch": 3, "arch": "I3D", "state_dict": state_dict, "best_loss": 1.0, "reg_stats": REGRESSION_STATS}
    found, stats = unpack_checkpoint(scripts if nested else state_dict, "a.pth")
    assert_equal(found, state_dict_of())
    assert stats.tolist() == REGRESSION_STATS.tolist() if nested else stats is None


@pytest.mark.parametrize(
    ("contents", "complaint"),
    [
        ([1], "found list, expected a state_dict"),
        ({}, "found an empty dict, expected a state_dict"),
        ({"state_dict": [1]}, "its 'state_dict' is list"),
        ({"state_dict": {}}, "its 'state_dict' is an empty dict"),
        ({"epoch": 3}, "epoch: expected a tensor of numbers, found int"),
        ({"state_dict": {"a": {"b": np.zeros(1)}}}, "a: expected a tensor of numbers, found dict"),
        ({"state_dict": {"a": np.array([None])}}, "a: expected a tensor of numbers, found an array of object"),
        ({"state_dict": {"a": np.array([1.0, np.nan])}}, "a: holds NaN"),
        ({"state_dict": {"a": np.zeros(1)}, "reg_stats": np.zeros(4)}, "reg_stats has shape (4,), expected (2, 2)"),
        ({"state_dict": {"a": np.zeros(1)}, "reg_stats": [[0, 0], [1, 1]]}, "reg_stats: expected a tensor"),
        ({"state_dict": {"a": np.zeros(1)}, "reg_stats": np.full((2, 2), np.inf)}, "reg_stats: holds NaN or infinity"),
    ],
)
def test_contents_that_are_no_checkpoint(contents, complaint):
    with pytest.raises(InputError) as error:
        unpack_checkpoint(contents, "a.pth")
    assert_one_line(error, "a.pth", complaint)


def test_without_torch_one_line_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "torch", None)
    path = tmp_path / "a.pth"
    with pytest.raises(InputError) as error:
        read_torch_checkpoint(path)
    assert_one_line(error, f"reading {path} needs torch", "pip install torch==2.13.0")
    with pytest.raises(InputError) as error:
        write_torch_checkpoint(path, {"params": {}}, None)
    assert_one_line(error, f"writing {path} needs torch", "pip install torch==2.13.0")
    pins = (Path(__file__).parents[1] / "requirements-torch.txt").read_text().splitlines()
    assert re.search(r"torch==[\d.]+", str(error.value))[0] in pins


# Real files


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


def as_tensors(torch, state_dict, prefix=""):
    return OrderedDict((prefix + name, torch.from_numpy(array.copy())) for name, array in state_dict.items())


@pytest.mark.parametrize("zip_format", [True, False])
@pytest.mark.parametrize("tensor_stats", [True, False])
def test_file_of_the_training_scripts(torch, tmp_path, zip_format, tensor_stats):
    contents = {
        "epoch": 3,
        "arch": "I3D",
        "state_dict": as_tensors(torch, state_dict_of(), "module."),
        "best_loss": np.float32(0.5),
        "reg_stats": torch.from_numpy(REGRESSION_STATS) if tensor_stats else REGRESSION_STATS,
    }
    path = tmp_path / "best.pth.tar"
    torch.save(contents, path, _use_new_zipfile_serialization=zip_format)
    state_dict, stats = read_torch_checkpoint(path)
    assert_equal(state_dict, state_dict_of())
    assert (stats.dtype, stats.tolist()) == (np.float64, REGRESSION_STATS.tolist())


def test_arrays_pickled_by_numpy_1(torch, tmp_path):
    """Same file with the module name that NumPy 1 wrote: the authors' scripts ran under it."""
    path = tmp_path / "old.pth"
    contents = {"state_dict": as_tensors(torch, state_dict_of()), "reg_stats": REGRESSION_STATS}
    torch.save(contents, path, _use_new_zipfile_serialization=False)
    renamed = path.read_bytes().replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")
    assert renamed != path.read_bytes()
    path.write_bytes(renamed)
    assert read_torch_checkpoint(path)[1].tolist() == REGRESSION_STATS.tolist()


def test_half_precision_becomes_float32(torch, tmp_path):
    path = tmp_path / "half.pth"
    values = torch.tensor([0.5, -2.0])
    torch.save({"b": values.bfloat16(), "h": values.half(), "p": torch.nn.Parameter(values)}, path)
    state_dict, _ = read_torch_checkpoint(path)
    assert_equal(state_dict, dict.fromkeys("bhp", np.array([0.5, -2], np.float32)))


def test_written_file_round_trips_and_torch_loads_it(torch, tmp_path):
    path = tmp_path / "new" / "exported.pth"
    variables = to_variables(state_dict_of(), expected_tree())
    write_torch_checkpoint(path, variables, REGRESSION_STATS)
    state_dict, stats = read_torch_checkpoint(path)
    assert_equal(state_dict, state_dict_of())
    assert stats.tobytes() == REGRESSION_STATS.tobytes()
    loaded = torch.load(path, weights_only=True)  # plain tensors: nothing to allow
    assert set(loaded) == {"state_dict", "reg_stats"}
    norm = torch.nn.BatchNorm1d(2 * H)
    norm.load_state_dict({name[5:]: t for name, t in loaded["state_dict"].items() if name.startswith("BN_A.")})
    assert norm.num_batches_tracked == 7
    assert path.read_bytes()[:2] == b"PK"

    with path.open("rb") as old:  # replaced as a whole: who reads the old file goes on reading it
        size = path.stat().st_size
        write_torch_checkpoint(path, variables, None)
        assert len(old.read()) == size != path.stat().st_size
    assert read_torch_checkpoint(path)[1] is None
    assert [p.name for p in path.parent.iterdir()] == ["exported.pth"]


def test_failed_write_leaves_the_old_file(torch, tmp_path, monkeypatch):
    path = tmp_path / "exported.pth"
    path.write_bytes(b"old")
    variables = to_variables(state_dict_of(), expected_tree())

    def full_disk(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(InputError) as error:
        write_torch_checkpoint(path, variables, REGRESSION_STATS)
    assert_one_line(error, str(path), "No space left on device")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_unwritable_path(torch, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError) as error:
        write_torch_checkpoint(tmp_path / "file" / "a.pth", to_variables(state_dict_of(), expected_tree()), None)
    assert_one_line(error, "a.pth: cannot be written")


class Payload:
    """Unpickled without care, it makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("zip_format", [True, False])
def test_no_code_of_the_file_runs(torch, tmp_path, zip_format):
    path, made = tmp_path / "evil.pth", tmp_path / "made"
    torch.save({"state_dict": {}, "arch": Payload(made)}, path, _use_new_zipfile_serialization=zip_format)
    with pytest.raises(InputError) as error:
        read_torch_checkpoint(path)
    assert_one_line(error, str(path), "it refers to", "open")
    assert not made.exists()


@pytest.mark.parametrize("zip_format", [True, False])
def test_truncated_files(torch, tmp_path, zip_format):
    path = tmp_path / "cut.pth"
    torch.save(as_tensors(torch, state_dict_of()), path, _use_new_zipfile_serialization=zip_format)
    whole = path.read_bytes()
    for size in (0, 1, 10, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(InputError) as error:
            read_torch_checkpoint(path)
        assert_one_line(error, f"{path}: not a whole torch file")


def test_paths_that_cannot_be_read(torch, tmp_path):
    for path, reason in ((tmp_path / "none.pth", "No such file"), (tmp_path, "directory")):
        with pytest.raises(InputError) as error:
            read_torch_checkpoint(path)
        assert_one_line(error, f"{path}: cannot be read", reason)


def test_sparse_tensor(torch, tmp_path):
    path = tmp_path / "sparse.pth"
    torch.save({"a": torch.eye(2).to_sparse()}, path)
    with pytest.raises(InputError) as error:
        read_torch_checkpoint(path)
    assert_one_line(error, f"{path}: a: expected a dense tensor")
