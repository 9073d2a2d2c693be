"""Torch checkpoints on small models: names, ablations, every complaint. Needs no torch.

Files that torch itself writes: test_torch_checkpoint_files.py.
"""

import re
import sys
from collections import OrderedDict

import numpy as np
import pytest

from contextloc_jax.core.errors import InputError
from contextloc_jax.interchange.torch_checkpoint import (
    from_variables,
    model_sizes,
    read_torch_checkpoint,
    to_variables,
    unpack_checkpoint,
    write_torch_checkpoint,
)
from tests.helpers.paths import ROOT
from tests.helpers.torch_state_dicts import (
    HIDDEN,
    REGRESSION_STATS,
    D,
    H,
    K,
    assert_equal,
    assert_one_line,
    expected_of,
    expected_tree,
    state_dict_of,
    without,
)

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
def test_every_ablation_round_trips_and_is_recognized(off, removed, sizes):
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
    pins = (ROOT / "requirements-torch.txt").read_text().splitlines()
    assert re.search(r"torch==[\d.]+", str(error.value))[0] in pins
