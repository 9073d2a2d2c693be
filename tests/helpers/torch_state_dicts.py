"""Small state_dicts of the authors' models, the trees that they become, and how to compare."""

import numpy as np

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
