"""The whole model and every ablation against the NumPy reference, its gradients, dropout, parameters and types."""

import functools

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contextloc_jax.localization.contextloc import graph_of
from contextloc_jax.localization.losses import losses
from tests.helpers import reference_model as reference
from tests.helpers.compiling import quickly_compiled
from tests.helpers.finite_differences import assert_gradients
from tests.helpers.published import WEIGHTS, published_model
from tests.helpers.random_videos import (
    CLASSES,
    WIDTH,
    largest_difference,
    padded_batch,
    properties,
    random_targets,
    random_variables,
    videos,
)
from tests.helpers.small_models import (
    CONTEXT,
    GRAPH,
    full_video,
    in_float64,
    model_of,
    padded64,
    rows_of,
    score,
    variables_of,
)

VIDEOS = 2
# Compiling costs most of this file's time: what an ablation does not touch is compared once, with the full model.
IN_TRAINING = ("contextloc", "no G-Net", "no boundary segments", "non-local", "P-GCN")
IN_SCORING = ("contextloc", "no L-Net", "no adaptation", "no BatchNorm", "no P-Net")
few = settings(properties, max_examples=6)
pairs = st.tuples(videos(), videos())


# The reference


@pytest.mark.parametrize(
    "name, train", [*((name, True) for name in IN_TRAINING), *((name, False) for name in IN_SCORING)]
)
@few
@given(pair=pairs)
def test_every_ablation_is_the_reference(name, train, pair):
    """Without dropout keys, whatever the rates."""
    expected, stats = reference.score(variables_of(name), [in_float64(video) for video in pair], model_of(name), train)
    found, updated = score(name, padded64(pair), train)
    assert largest_difference(found, rows_of(expected)) < (1e-6 if train else 1e-11)
    if train:
        assert largest_difference(updated, stats) < 1e-12
    else:
        assert jax.tree.all(jax.tree.map(np.array_equal, updated, variables_of(name).get("batch_stats", {})))


@pytest.mark.parametrize("name", ["contextloc", "non-local"])
@few
@given(pair=pairs)
def test_float32_is_near_the_reference(name, pair):
    expected, _ = reference.score(variables_of(name, "float32"), [in_float64(video) for video in pair], model_of(name))
    found, _ = score(name, padded_batch(pair), dtype="float32")
    assert largest_difference(found, rows_of(expected)) < 2e-5


@pytest.mark.parametrize("name", ["contextloc", "non-local"])
def test_gradients_are_the_slopes_of_the_reference(name):
    """Of every parameter; and none flows to the features, which are data."""
    rng = np.random.default_rng(8)
    pair = [full_video(rng), full_video(rng)]
    targets = random_targets(rng, VIDEOS)
    model, variables = model_of(name), variables_of(name)

    def slow(params):
        scores, _ = reference.score(variables | {"params": params}, pair, model, train=True)
        return reference.losses(scores, targets)[3]

    def fast(params, features):
        known = variables | {"params": params}
        scores, _ = model.apply(known, batch._replace(features=features), True, mutable="batch_stats")
        return losses(scores, targets, WEIGHTS).total

    with jax.enable_x64(True):
        batch = padded64(pair)
        run = quickly_compiled(jax.value_and_grad(fast, argnums=(0, 1)))
        loss, (gradients, of_features) = run(variables["params"], batch.features)
    assert float(loss) == pytest.approx(slow(variables["params"]), rel=1e-9)
    assert not np.any(of_features)
    assert_gradients(slow, variables["params"], gradients)


@pytest.mark.parametrize("name", ["contextloc", "no boundary segments", "P-GCN"])
@pytest.mark.parametrize("train", [True, False])
def test_retrieval_may_be_done_beforehand(name, train):
    rng = np.random.default_rng(5)
    batch = padded_batch([full_video(rng), full_video(rng)], dtype=np.float32)
    model = model_of(name, "float32")
    retrieved = jax.jit(model.retrieve)(batch)
    expected, variables = score(name, batch, train, "float32"), variables_of(name, "float32")
    found = model.apply(variables, retrieved, graph_of(batch), train, None, mutable="batch_stats", method="score")
    found = found[0], found[1].get("batch_stats", {})
    assert largest_difference(found[0], expected[0]) < 1e-5
    if found[1]:
        assert largest_difference(found[1], expected[1]) < 1e-6


# Dropout


@pytest.fixture
def pair():
    return [full_video(np.random.default_rng(seed)) for seed in (0, 1)]


KEYS = jax.random.split(jax.random.key(0), VIDEOS)


@functools.cache
def compiled_with_dropout(name, **rates):
    model = model_of(name, "float32", **rates)
    return quickly_compiled(lambda *arguments: model.apply(*arguments[:2], True, arguments[2], mutable="batch_stats"))


def dropped(name, videos, keys, **rates):
    """Float32 scores in training with a dropout key a video."""
    return compiled_with_dropout(name, **rates)(variables_of(name, "float32"), padded_batch(videos), keys)[0]


def test_head_dropout_reaches_the_activity_alone(pair):
    plain, _ = score("contextloc", padded_batch(pair), True, "float32")
    found = dropped("contextloc", pair, KEYS)
    assert largest_difference(found.activity, plain.activity) > 0.01
    assert largest_difference(found[1:], plain[1:]) < 1e-6


def test_graph_dropout_reaches_both_branches_by_the_key_of_the_video(pair):
    plain, _ = score("P-GCN", padded_batch(pair), True, "float32")
    found, again, swapped = (
        dropped("P-GCN", videos, keys, head_dropout=0.0)
        for videos, keys in ((pair, KEYS), (pair, KEYS), (pair[::-1], KEYS[::-1]))
    )
    assert all(largest_difference(a, b) > 0.01 for a, b in zip(found, plain, strict=True))
    assert all(np.array_equal(a, b) for a, b in zip(found, again, strict=True))
    assert largest_difference(swapped, jax.tree.map(lambda part: part[::-1], found)) < 1e-5
    crossed = dropped("P-GCN", pair, KEYS[::-1], head_dropout=0.0)
    assert all(largest_difference(a, b) > 0.01 for a, b in zip(crossed, found, strict=True))
    in_other_company = dropped("P-GCN", [pair[1], pair[1]], KEYS[::-1], head_dropout=0.0)
    assert largest_difference([part[0] for part in in_other_company], [part[1] for part in found]) < 1e-5


def test_branches_drop_by_draws_of_their_own():
    """Both branches made equal: without dropout they agree, with it they do not."""
    settings = {"boundary_segments": False, "head_dropout": 0.0}
    model = model_of("P-GCN", "float32", **settings)
    video = padded_batch([full_video(np.random.default_rng(0))])
    params = dict(random_variables(model, video)["params"])
    params["activity_graph"] = params["completeness_graph"]
    head = params["completeness_head"]
    params["activity_head"] = {name: np.concatenate([a, a[..., :1]], axis=-1) for name, a in head.items()}
    run = compiled_with_dropout("P-GCN", **settings)
    for keys, same in ((None, True), (KEYS[:1], False)):
        found, _ = run({"params": params}, video, keys)
        assert (largest_difference(found.activity[..., :CLASSES], found.completeness) < 1e-5) == same


# Parameters and types


def test_parameters_have_the_names_and_shapes_of_the_full_model():
    norm = {name: {"scale": (width,), "bias": (width,)} for name, width in (("a", 8), ("c", 24))}
    context = {"query": (WIDTH, CONTEXT), "context": (WIDTH, CONTEXT), "bias": (CONTEXT,)}

    def linear(*shape):
        return {"kernel": shape, "bias": shape[1:]}

    assert jax.tree.map(np.shape, variables_of("contextloc")["params"]) == {
        "l_net": context,
        "g_net": context,
        "activity_norm": norm["a"],
        "completeness_norm": norm["c"],
        "activity_graph": {"first": linear(8, GRAPH), "second": linear(GRAPH, 8)},
        "completeness_graph": {"first": linear(24, GRAPH), "second": linear(GRAPH, 24)},
        "activity_head": linear(16, CLASSES + 1),
        "completeness_head": linear(48, CLASSES),
        "regression_head": linear(48, 2 * CLASSES),
    }


@pytest.mark.parametrize(
    "name, absent, activity_width, completeness_width",
    [
        ("no L-Net", {"l_net/context"}, 8, 24),
        ("no G-Net", {"g_net"}, 4, 12),
        ("no adaptation", {"g_net/context"}, 8, 24),
        ("no boundary segments", set(), 8, 8),
        ("no BatchNorm", {"activity_norm", "completeness_norm"}, 8, 24),
        ("no P-Net", {"activity_graph", "completeness_graph"}, 8, 24),
        ("P-GCN", {"l_net", "g_net", "activity_norm", "completeness_norm"}, WIDTH, 3 * WIDTH),
    ],
)
def test_an_ablation_drops_the_parameters_it_does_not_use(name, absent, activity_width, completeness_width):
    def names(params):
        paths = ["/".join(key.key for key in path) for path, _ in jax.tree_util.tree_leaves_with_path(params)]
        return {f"{path}/" for path in paths}

    params = variables_of(name)["params"]
    full = names(variables_of("contextloc")["params"])
    gone = {leaf for leaf in full if any(leaf.startswith(f"{prefix}/") for prefix in absent)}
    assert names(params) == full - gone
    assert params["activity_head"]["kernel"].shape == (2 * activity_width, CLASSES + 1)
    assert params["completeness_head"]["kernel"].shape == (2 * completeness_width, CLASSES)


def test_heads_start_small_with_bias_zero():
    batch = padded_batch([full_video(np.random.default_rng(0))])
    model = published_model(20, context_width=64, graph_width=8, batch_norm=False, proposal_net="none")
    params = quickly_compiled(model.init)(jax.random.key(0), batch)["params"]
    for head in ("activity_head", "completeness_head", "regression_head"):
        assert not np.any(params[head]["bias"])
        assert np.std(params[head]["kernel"]) == pytest.approx(0.001, rel=0.05)
        assert abs(np.mean(params[head]["kernel"])) < 1e-4


def test_bfloat16_stays_near_and_keeps_float32_outside_of_products():
    video = full_video(np.random.default_rng(3))
    variables = variables_of("contextloc", "float32")
    exact, _ = score("contextloc", padded_batch([video]), dtype="float32")
    near = quickly_compiled(model_of("contextloc", "bfloat16").apply)(variables, padded_batch([video]))
    assert all(part.dtype == np.float32 for part in near)
    assert 0 < largest_difference(near, exact) < 0.05
