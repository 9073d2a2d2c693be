"""The authors' tensors (golden weights.npz, pgcn.npz) in our tree and back, bit for bit. Needs no torch."""

import math

import numpy as np
import pytest

from contextloc_jax.interchange.torch_checkpoint import from_variables, model_sizes, to_variables, unpack_checkpoint
from tests.helpers.golden_data import GOLDEN


def parameter_shapes(sizes: dict) -> dict:
    """The parameter tree of a ContextLoc or P-GCN of these sizes, written out by hand."""
    d, k, hidden = sizes["feature_width"], sizes["num_classes"], sizes["graph_width"]
    context = sizes.get("context_width")
    a = 2 * context if context else d
    c = 3 * a

    def linear(inputs, outputs):
        return {"kernel": (inputs, outputs), "bias": (outputs,)}

    params = {
        "activity_graph": {"first": linear(a, hidden), "second": linear(hidden, a)},
        "completeness_graph": {"first": linear(c, hidden), "second": linear(hidden, c)},
        "activity_head": linear(2 * a, k + 1),
        "completeness_head": linear(2 * c, k),
        "regression_head": linear(2 * c, 2 * k),
    }
    if not context:
        return {"params": params}
    for net in ("l_net", "g_net"):
        params[net] = {"query": (d, context), "context": (d, context), "bias": (context,)}
    stats = {}
    for norm, width in (("activity_norm", a), ("completeness_norm", c)):
        params[norm] = {"scale": (width,), "bias": (width,)}
        stats[norm] = {"mean": (width,), "var": (width,)}
    return {"params": params, "batch_stats": stats}


@pytest.fixture(scope="module")
def contextloc():
    """ContextLoc's state_dict, float32 as torch holds it."""
    with np.load(GOLDEN / "weights.npz") as file:
        return {name: np.asarray(v, np.float32 if v.dtype == np.float16 else v.dtype) for name, v in file.items()}


@pytest.fixture(scope="module")
def pgcn():
    """P-GCN's state_dict, drawn as golden/README.md says, and the checksums of its tensors."""
    with np.load(GOLDEN / "pgcn.npz") as file:
        draws = np.random.RandomState(int(file["seed"]))
        state_dict = {}
        for name, text in zip(file["weight_names"].tolist(), file["weight_shapes"].tolist(), strict=True):
            shape = tuple(int(size) for size in text.strip("()").split(",") if size)
            scale = 0.1 if name.endswith("bias") else 1 / math.sqrt(max(shape))
            state_dict[name] = (draws.standard_normal(shape) * scale).astype(np.float32)
        return state_dict, file["weight_checksums"]


def assert_same_bits(actual: dict, expected: dict) -> None:
    assert sorted(actual) == sorted(expected)
    for name, array in expected.items():
        assert (actual[name].dtype, actual[name].shape) == (array.dtype, array.shape), name
        assert actual[name].flags.c_contiguous, name
        assert actual[name].tobytes() == np.ascontiguousarray(array).tobytes(), name


def test_golden_contextloc_round_trip_is_bit_exact(contextloc):
    expected = parameter_shapes(model_sizes(contextloc))
    parallel = {f"module.{name}": array for name, array in contextloc.items()}
    state_dict, stats = unpack_checkpoint({"state_dict": parallel, "reg_stats": np.eye(2), "epoch": 3}, "a.pth")
    assert_same_bits(from_variables(to_variables(state_dict, expected)), contextloc)
    assert stats.tolist() == [[1, 0], [0, 1]]


def test_golden_pgcn_round_trip_is_bit_exact(pgcn):
    state_dict, checksums = pgcn
    sums = [array.sum(dtype=np.float64) for array in state_dict.values()]
    np.testing.assert_allclose(sums, checksums, rtol=1e-9)
    variables = to_variables(state_dict, parameter_shapes(model_sizes(state_dict)))
    assert set(variables) == {"params"}
    assert_same_bits(from_variables(variables), state_dict)


def test_golden_every_variable_is_the_right_tensor(contextloc):
    variables = to_variables(contextloc, parameter_shapes(model_sizes(contextloc)))
    params, stats = variables["params"], variables["batch_stats"]
    assert params["activity_head"]["kernel"].flags.c_contiguous
    for ours, theirs in (("activity", "Act_GCN"), ("completeness", "Comp_GCN")):
        for layer, gc in (("first", "gc1"), ("second", "gc2")):
            np.testing.assert_array_equal(params[f"{ours}_graph"][layer]["kernel"], contextloc[f"{theirs}.{gc}.weight"])
            np.testing.assert_array_equal(params[f"{ours}_graph"][layer]["bias"], contextloc[f"{theirs}.{gc}.bias"])
    for ours, theirs in (("activity", "activity"), ("completeness", "completeness"), ("regression", "regressor")):
        np.testing.assert_array_equal(params[f"{ours}_head"]["kernel"], contextloc[f"{theirs}_fc.weight"].T)
        np.testing.assert_array_equal(params[f"{ours}_head"]["bias"], contextloc[f"{theirs}_fc.bias"])
    for ours, theirs in (("activity_norm", "BN_A"), ("completeness_norm", "BN_C")):
        np.testing.assert_array_equal(params[ours]["scale"], contextloc[f"{theirs}.weight"])
        np.testing.assert_array_equal(params[ours]["bias"], contextloc[f"{theirs}.bias"])
        np.testing.assert_array_equal(stats[ours]["mean"], contextloc[f"{theirs}.running_mean"])
        np.testing.assert_array_equal(stats[ours]["var"], contextloc[f"{theirs}.running_var"])
        assert variables["batches_tracked"][ours] == contextloc[f"{theirs}.num_batches_tracked"] == 7


def test_golden_query_and_context_are_not_swapped(contextloc):
    """L-Net and G-Net of one multi-snippet segment with the imported weights: the rule of golden/README.md."""
    params = to_variables(contextloc, parameter_shapes(model_sizes(contextloc)))["params"]
    with np.load(GOLDEN / "pooling.npz") as file:
        features, units = file["features_gA"].astype(np.float64), file["units_gA"][:, 1]
        row = int(np.flatnonzero(units[:, 1] > units[:, 0])[0])
        target = file["act_fts_gA"][row]
    first, last = units[row]
    segment, video = features[first : last + 1], features.max(0)

    def project(net, query, keys):
        norms = np.linalg.norm(keys, axis=1) * np.linalg.norm(query)
        weights = np.maximum(keys @ query / norms, 0)
        context = weights @ keys / weights.sum()
        return np.maximum(query @ net["query"] + context @ net["context"] + net["bias"], 0)

    query = segment.max(0)
    local = project(params["l_net"], query, np.vstack([segment, video]))
    adapted = project(params["g_net"], video, np.vstack([segment, query]))
    np.testing.assert_allclose(np.concatenate([local, adapted]), target, atol=2e-5 * np.abs(target).max())


def test_golden_model_sizes(contextloc, pgcn):
    shared = {"num_classes": 5, "boundary_segments": True, "proposal_net": "pgcn", "graph_width": 512}
    nets = {"local_context": True, "global_context": True, "batch_norm": True}
    baseline = {"local_context": False, "global_context": False, "batch_norm": False}
    assert model_sizes(contextloc) == {
        **shared, **nets, "feature_width": 1024, "context_width": 512, "adaptation": True
    }  # fmt: skip
    assert model_sizes(pgcn[0]) == {**shared, **baseline, "feature_width": 1024}
