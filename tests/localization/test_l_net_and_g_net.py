"""The projections of L-Net and G-Net against the NumPy reference."""

import jax
import numpy as np
import pytest

from contextloc_jax.localization.g_net import GNet
from contextloc_jax.localization.l_net import LNet
from contextloc_jax.localization.retrieval import Retrieved
from tests.helpers.random_videos import largest_difference
from tests.helpers.reference_model import projected


def small_retrieved(rng, kind=np.float64) -> Retrieved:
    """Of two videos with seven segments each; features of width 5."""
    query, local, adapted = rng.standard_normal((3, 2, 7, 5)).astype(kind)
    return Retrieved(query, local, adapted, rng.standard_normal((2, 5)).astype(kind))


def asked_and_found(net, retrieved):
    """The query and the context of every segment of a net."""
    if net is LNet:
        return retrieved.query, retrieved.local
    return np.broadcast_to(retrieved.video[:, None], retrieved.query.shape), retrieved.adapted


each_net = pytest.mark.parametrize("net", [LNet, GNet])


@each_net
@pytest.mark.parametrize("reads_context", [True, False])
def test_a_net_projects_as_the_reference(net, reads_context):
    rng = np.random.default_rng(1)
    retrieved, weights = small_retrieved(rng), rng.standard_normal((2, 5, 3))
    params = {"query": weights[0], "bias": rng.standard_normal(3)} | ({"context": weights[1]} if reads_context else {})
    with jax.enable_x64(True):
        module = net(3, reads_context, "float64")
        found = module.apply({"params": params}, retrieved)
        drawn = module.init(jax.random.key(0), retrieved)["params"]
    query, context = (part.reshape(-1, 5) for part in asked_and_found(net, retrieved))
    rows = [projected(params, query[i], context[i] if reads_context else None) for i in range(len(query))]
    assert largest_difference(found, np.array(rows).reshape(2, 7, 3)) < 1e-14
    assert jax.tree.map(np.shape, drawn) == jax.tree.map(np.shape, params)


@each_net
def test_initial_values_are_uniform_by_the_output_width(net):
    zeros = np.zeros((1, 1, 400))
    variables = net(16, True, "float32").init(jax.random.key(0), Retrieved(zeros, zeros, zeros, zeros[0]))
    for name, values in variables["params"].items():
        assert np.max(np.abs(values)) <= 1 / 4, name
        if name != "bias":
            assert np.max(values) > 0.249 and np.min(values) < -0.249
            assert np.std(values) == pytest.approx(0.25 / 3**0.5, rel=0.02)
    query, context = variables["params"]["query"], variables["params"]["context"]
    assert not np.array_equal(query, context)


@each_net
def test_projection_in_bfloat16_has_float32_parameters_and_results(net):
    retrieved = small_retrieved(np.random.default_rng(2), np.float32)
    params = net(3, True, "float32").init(jax.random.key(0), retrieved)
    exact, near = (net(3, True, dtype).apply(params, retrieved) for dtype in ("float32", "bfloat16"))
    assert near.dtype == np.float32 and all(leaf.dtype == np.float32 for leaf in jax.tree.leaves(params))
    assert 0 < largest_difference(near, exact) < 0.02
