"""P-GCN, the non-local P-Net and dropout against the NumPy reference and their rules."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contextloc_jax.localization.neighbors import tree_hops
from contextloc_jax.localization.proposal_nets import PGCN, NonLocal, edge_weights, no_relations
from tests.helpers.compiling import quickly_compiled
from tests.helpers.finite_differences import assert_gradients
from tests.helpers.random_videos import largest_difference, properties
from tests.helpers.reference_model import graph_network, nonlocal_network

FEATURES, HIDDEN, NODES, CENTERS = 5, 4, 7, 3
NETS = {"pgcn": PGCN(HIDDEN, 0.0, "float64"), "nonlocal": NonLocal(HIDDEN, "float64")}
REFERENCES = {
    "pgcn": lambda params, x, tree: graph_network(params, x, tree),
    "nonlocal": lambda params, x, tree: nonlocal_network(params, x, tree[0]),
    "none": lambda params, x, tree: np.concatenate([x[tree[0]], x[tree[0]]]),
}

seeds = st.integers(0, 2**32 - 1)


def draw_graph(seed, num_nodes=NODES):
    """x [1, NODES, F] whose rows from num_nodes on are padding, trees [CENTERS, 21] over the others."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((1, NODES, FEATURES))
    return x, rng.integers(0, num_nodes, (CENTERS, 21))


def inputs(x, trees, num_nodes=NODES):
    """Arguments of a P-Net: one video, one row of hops for every tree's inner node."""
    first_hop, second_hop = tree_hops(trees)
    return x, first_hop[None], second_hop[None], np.arange(x.shape[1])[None] < num_nodes


@functools.cache
def params_of(name):
    """Every leaf drawn anew: the non-local net's own output weights start at zero."""
    if name == "none":
        return {}
    rng = np.random.default_rng(3)
    with jax.enable_x64(True):
        shapes = jax.eval_shape(lambda: NETS[name].init(jax.random.key(0), *inputs(*draw_graph(0)), None))
    return jax.tree.map(lambda leaf: rng.standard_normal(leaf.shape) * 0.5, shapes["params"])


@functools.cache
def compiled(name):
    if name == "none":
        return lambda params, *graph: no_relations(*map(jnp.asarray, graph), None)
    return quickly_compiled(lambda params, *graph: NETS[name].apply({"params": params}, *graph, None))


def apply(name, *graph):
    """[CENTERS, 2F] of the one video, in float64."""
    with jax.enable_x64(True):
        return np.asarray(compiled(name)(params_of(name), *graph))[0]


each_net = pytest.mark.parametrize("name", ["pgcn", "nonlocal", "none"])


@each_net
@properties
@given(seeds, st.integers(1, NODES))
def test_output_is_the_reference(name, seed, num_nodes):
    x, trees = draw_graph(seed, num_nodes)
    expected = [REFERENCES[name](params_of(name), x[0, :num_nodes], tree) for tree in trees]
    assert largest_difference(apply(name, *inputs(x, trees, num_nodes)), np.array(expected)) < 1e-13


@each_net
@properties
@given(seeds, st.integers(1, NODES - 1))
def test_padded_nodes_change_no_bit(name, seed, num_nodes):
    x, trees = draw_graph(seed, num_nodes)
    changed = x.copy()
    changed[:, num_nodes:] = 1e3 * draw_graph(seed + 1)[0][:, num_nodes:]
    graph = inputs(x, trees, num_nodes)
    assert np.array_equal(apply(name, *graph), apply(name, changed, *graph[1:]))


@each_net
def test_a_video_of_padding_alone_gives_numbers(name):
    x, trees = draw_graph(0)
    assert np.isfinite(apply(name, *inputs(x, trees, 0))).all()


@each_net
@properties
@given(seeds)
def test_the_order_of_nodes_and_of_centers_does_not_matter(name, seed):
    x, trees = draw_graph(seed)
    rng = np.random.default_rng(seed)
    nodes, centers = rng.permutation(NODES), rng.permutation(CENTERS)
    permuted = inputs(x[:, nodes], np.argsort(nodes)[trees[centers]])
    assert largest_difference(apply(name, *permuted), apply(name, *inputs(x, trees))[centers]) < 1e-13


@each_net
@properties
@given(seeds)
def test_a_node_and_its_copy_stand_for_each_other(name, seed):
    x, trees = draw_graph(seed)
    x[0, 1] = x[0, 0]
    swapped = np.where(trees == 0, 1, np.where(trees == 1, 0, trees))
    assert largest_difference(apply(name, *inputs(x, swapped)), apply(name, *inputs(x, trees))) < 1e-13


@properties
@given(seeds)
def test_rows_shared_between_trees_are_the_same_trees(seed):
    """Evaluation computes the first layer once a node, training once a node of a tree."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((1, NODES, FEATURES))
    hops = np.concatenate([np.arange(NODES)[:, None], rng.integers(0, NODES, (NODES, 4))], axis=1).astype(np.int32)
    trees = np.array([[*hops[node], *hops[hops[node, 1:], 1:].ravel()] for node in range(NODES)])
    shared = apply("pgcn", x, hops[None], hops[None], np.ones((1, NODES), bool))
    assert largest_difference(shared, apply("pgcn", *inputs(x, trees))) < 1e-13


@functools.cache
def compiled_gradients(name):
    """Of the output's sum weighted by `toward`, for the parameters and for x."""

    def weighted(params, x, toward, *graph):
        return jnp.sum(NETS[name].apply({"params": params}, x, *graph, None)[0] * toward)

    return quickly_compiled(jax.grad(weighted, argnums=(0, 1)))


@pytest.mark.parametrize("name", ["pgcn", "nonlocal"])
@pytest.mark.parametrize("seed", range(4))
def test_gradients_are_the_slopes_of_the_reference(name, seed):
    x, trees = draw_graph(seed)
    toward = np.random.default_rng(seed).standard_normal((CENTERS, 2 * FEATURES))
    params = params_of(name)

    def slow(arguments):
        params, x = arguments
        return sum(REFERENCES[name](params, x[0], tree) @ t for tree, t in zip(trees, toward, strict=True))

    with jax.enable_x64(True):
        gradients = compiled_gradients(name)(params, x, toward, *inputs(x, trees)[1:])
    assert_gradients(slow, (params, x), gradients)


def test_edges_weigh_the_node_once_and_each_child_by_a_quarter_of_its_relevance():
    neighbors = np.array([[3, 4], [6, 8], [-4, 3], [-3, -4], [0, 0]], np.float32)
    assert np.allclose(edge_weights(neighbors), [1, 0.25, 0, 0, 0])
    neighbors = np.array([[1, 0], [1, 1], [1, -1], [2, 0], [1, 0]], np.float32)
    assert np.allclose(edge_weights(neighbors), [1, 0.25 * 0.5**0.5, 0.25 * 0.5**0.5, 0.25, 0.25])


def test_a_zero_node_has_no_edge_and_a_finite_gradient():
    neighbors = np.zeros((5, 2), np.float32)
    neighbors[1:, 0] = 1
    assert not np.any(edge_weights(neighbors))
    assert np.all(np.isfinite(jax.grad(lambda n: jnp.sum(edge_weights(n)))(neighbors)))


def test_parameters_and_their_initial_values():
    x, trees = np.zeros((1, NODES, 300), np.float32), draw_graph(0)[1]
    graph = quickly_compiled(PGCN(16, 0.0, "float32").init)(jax.random.key(0), *inputs(x, trees), None)["params"]
    shapes = {"first": {"kernel": (300, 16), "bias": (16,)}, "second": {"kernel": (16, 300), "bias": (300,)}}
    assert jax.tree.map(np.shape, graph) == shapes
    for layer, bound in (("first", 1 / 4), ("second", 300**-0.5)):
        assert 0.98 * bound < np.max(graph[layer]["kernel"]) <= bound
        assert -bound <= np.min(graph[layer]["kernel"]) < -0.98 * bound
        assert 0.5 * bound < np.max(np.abs(graph[layer]["bias"])) <= bound


def test_nonlocal_starts_as_the_identity():
    x, trees = draw_graph(1)
    variables = quickly_compiled(NonLocal(HIDDEN, "float32").init)(jax.random.key(0), *inputs(x, trees), None)
    found = NonLocal(HIDDEN, "float32").apply(variables, *inputs(x, trees), None)[0]
    expected = np.concatenate([x[0, trees[:, 0]]] * 2, axis=1)
    assert np.allclose(found, expected, rtol=1e-6)
    assert set(variables["params"]) == {"query", "key", "value", "output"}


def test_nonlocal_attention_follows_the_affinity():
    """Affinities far apart: the attention is one node's, whatever its place; equal ones: the mean over all nodes."""
    x = np.arange(8.0).reshape(1, 4, 2)
    eye, zero = np.eye(2), np.zeros(2)
    linear = {"kernel": eye, "bias": zero}
    params = {"query": {"kernel": 0 * eye, "bias": np.array([0, -50.0])}, "key": linear, "value": linear}
    graph = (x, *inputs(x, np.full((1, 21), 2))[1:3], np.array([[False, True, True, False]]))
    net = quickly_compiled(NonLocal(2, "float32").apply)
    found = net({"params": params | {"output": linear}}, *graph, None)
    assert np.allclose(found[0, 0], [4 + 2, 5 + 3, 4, 5])  # node 1 has the smallest second entry of the unmasked
    params["query"]["bias"] = zero
    found = net({"params": params | {"output": linear}}, *graph, None)
    assert np.allclose(found[0, 0], [4 + (2 + 4) / 2, 5 + (3 + 5) / 2, 4, 5])


def test_pgcn_drops_hidden_units_between_its_layers():
    """The tree's other nodes are orthogonal to the center, so its output is its own hidden units, through identity."""
    width = 200
    x = np.zeros((1, 2, width), np.float32)
    x[0, 0, 0] = x[0, 1, 1] = 1
    trees = np.array([[0] + [1] * 20])
    params = {
        "first": {"kernel": np.eye(width), "bias": np.arange(1.0, width + 1)},
        "second": {"kernel": np.eye(width), "bias": np.full(width, 5.0)},
    }
    net = quickly_compiled(PGCN(width, 0.7, "float32").apply)
    plain = net({"params": params}, *inputs(x, trees), None)[0, 0]
    hidden = np.arange(1, width + 1) + x[0, 0]
    assert np.allclose(plain[:width], hidden + 5) and np.allclose(plain[width:], x[0, 0])
    keys = jax.random.split(jax.random.key(1), 1)
    found = np.asarray(net({"params": params}, *inputs(x, trees), keys)[0, 0])
    share = (found[:width] - 5) / hidden
    kept = share > 1
    assert np.allclose(share[kept], 1 / 0.3, rtol=1e-5) and np.allclose(share[~kept], 0, atol=1e-6)
    assert 0.15 < np.mean(kept) < 0.45
    assert np.allclose(found[width:], x[0, 0])
