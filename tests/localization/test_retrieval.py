"""Every form of retrieval, and the projections of L-Net and G-Net, against the NumPy reference and each other."""

from functools import partial

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contextloc_jax.core.errors import InputError
from contextloc_jax.devices.mesh import MeshParallel
from contextloc_jax.localization import retrieval_forms
from contextloc_jax.localization.g_net import GNet
from contextloc_jax.localization.l_net import LNet
from contextloc_jax.localization.range_max import range_max
from contextloc_jax.localization.retrieval import Retrieved, retrieve, unit
from contextloc_jax.localization.retrieval_forms import check_form, retrieve_videos
from contextloc_jax.localization.retrieval_kernel import retrieve_in_kernel
from contextloc_jax.localization.retrieval_windows import retrieve_by_windows
from tests.helpers.random_videos import NODES, SNIPPETS, WIDTH, largest_difference, properties, random_features, videos
from tests.helpers.reference_model import local_and_global, projected

retrieve_float32 = jax.jit(retrieve, static_argnames="dtype")
retrieved_in_kernel = jax.jit(
    partial(retrieve_in_kernel, interpret=jax.default_backend() != "gpu"), static_argnames="dtype"
)


def padded(video, num_snippets=SNIPPETS, fill=0.0):
    """Arguments of `retrieve`: features [num_snippets, D], snippets, segments [3 NODES, 2]; padding is `fill`."""
    features = np.full((num_snippets, WIDTH), fill, np.float32)
    features[: len(video.features)] = video.features
    segments = np.zeros((3 * NODES, 2), np.int32)
    segments[: video.segments.size // 2] = video.segments.reshape(-1, 2)
    return features, np.int32(len(video.features)), segments


def expected(video) -> Retrieved:
    """The reference's retrieval of every segment."""
    features = video.features.astype(np.float64)
    rows = [local_and_global(features, first, last) for first, last in video.segments.reshape(-1, 2)]
    query, local, adapted, _ = map(np.array, zip(*rows, strict=True))
    return Retrieved(query, local, adapted, features.max(axis=0))


def valid(found: Retrieved, video) -> Retrieved:
    count = video.segments.size // 2
    return found._replace(query=found.query[:count], local=found.local[:count], adapted=found.adapted[:count])


@pytest.mark.parametrize("rows", [1, 2, 3, 8, 9, 17])
def test_range_max_of_every_range(rows):
    values = np.random.default_rng(rows).standard_normal((rows, 3)).astype(np.float32)
    ranges = [(first, last) for first in range(rows) for last in range(first, rows)]
    found = jax.jit(range_max)(values, *np.array(ranges, np.int32).T)
    assert np.array_equal(found, [values[first : last + 1].max(axis=0) for first, last in ranges])


def test_range_max_across_blocks():
    random = np.random.default_rng(0)
    values = random.standard_normal((203, 3)).astype(np.float32)
    first, last = np.sort(random.integers(0, 203, (2, 2000)), axis=0).astype(np.int32)
    found = jax.jit(range_max)(values, first, last)
    assert np.array_equal(found, [values[a : b + 1].max(axis=0) for a, b in zip(first, last, strict=True)])


@pytest.mark.parametrize(
    ("snippets", "count", "longest"), [(600, 504, 40), (600, 61, 599), (129, 100, 8), (1500, 30, 1)]
)
def test_windows_change_nothing(snippets, count, longest):
    """Also where some segments are as long as the video, single, reversed, or the last group is not full."""
    random = np.random.default_rng(snippets)
    features = random_features(random, snippets, "signed")
    first = random.integers(0, snippets - 1, count)
    last = np.minimum(first + random.integers(-2, longest + 1, count), snippets - 2)
    arguments = features, np.int32(snippets - 1), np.stack([first, last], axis=1).astype(np.int32)
    found, expected = (jax.jit(form)(*arguments) for form in (retrieve_by_windows, retrieve))
    assert largest_difference(found, expected) < 2e-6


@pytest.mark.parametrize("width", [1, 48])  # of features, which the kernel pads to a power of two
@pytest.mark.parametrize("kind", [np.float16, np.float32])
def test_the_kernel_is_the_products(width, kind):
    """On a GPU itself, elsewhere as Pallas interprets it; padded snippets and segments of padding harm nothing."""
    random = np.random.default_rng(width)
    snippets, segments = np.array([40, 33, 1], np.int32), 30
    features = random.standard_normal((3, 40, width)).astype(kind)
    features[:, :, 0] = np.maximum(features[:, :, 0], 0)
    features[np.arange(40) >= snippets[:, None]] = np.nan
    first = random.integers(0, snippets[:, None], (3, segments))
    last = np.clip(first + random.integers(-2, 40, first.shape), -1, np.maximum(snippets[:, None] - 2, first))
    arguments = features, snippets, np.stack([first, last], axis=-1).astype(np.int32)
    found = retrieved_in_kernel(*arguments)
    assert all(part.dtype == np.float32 for part in found)
    with jax.default_matmul_precision("highest"):
        assert largest_difference(found, jax.jit(jax.vmap(retrieve))(*arguments)) < 1e-6
    beyond = np.concatenate([arguments[2], np.full((3, 1, 2), 39, np.int32)], axis=1)  # a segment of padding
    again = retrieved_in_kernel(features, snippets, beyond)
    assert all(np.isfinite(part).all() for part in again)
    assert np.array_equal(again.local[:, :segments], found.local)


@pytest.mark.parametrize("kind", [np.float16, np.float32])
@pytest.mark.parametrize(("snippets", "width"), [(1, 1), (37, 400), (600, 1024)])
@pytest.mark.parametrize("compiled_by", [jax.jit, MeshParallel().compile_rows])
def test_gpus_alone_have_the_kernel(monkeypatch, compiled_by, snippets, width, kind):
    """As far as it can be seen without one: Triton's rules on shapes hold, and other platforms have the products."""
    monkeypatch.setattr(retrieval_forms, "kernels_compile", lambda: True)
    videos = jax.local_device_count()
    shapes = [((videos, snippets, width), kind), ((videos,), np.int32), ((videos, 5, 2), np.int32)]
    traced = compiled_by(lambda videos: retrieve_videos(videos, "float32", "auto")).trace(
        [jax.ShapeDtypeStruct(*shape) for shape in shapes]
    )
    try:
        assert "triton" in traced.lower(lowering_platforms=("cuda",)).as_text()
    except RuntimeError as error:  # newer versions of jax ask the GPU itself
        if "No supported GPU devices" not in str(error):
            raise
        pytest.skip("this version of jax lowers kernels on GPUs alone")
    for other in ("cpu", "rocm", "tpu"):
        assert "triton" not in traced.lower(lowering_platforms=(other,)).as_text()


@properties
@given(videos())
def test_the_kernel_is_the_reference(video):
    features, *rest = (np.asarray(a)[None] for a in padded(video, fill=np.nan))
    found = valid(jax.tree.map(lambda a: a[0], retrieved_in_kernel(features, *rest)), video)
    assert largest_difference(found, expected(video)) < 2e-6
    with jax.enable_x64(True):
        found = retrieved_in_kernel(features.astype(np.float64), *rest, dtype="float64")
    assert largest_difference(valid(jax.tree.map(lambda a: a[0], found), video), expected(video)) < 1e-13


@properties
@given(videos())
def test_retrieval_is_the_reference(video):
    found = valid(retrieve_float32(*padded(video)), video)
    assert largest_difference(found, expected(video)) < 2e-6
    with jax.enable_x64(True):
        features, *rest = padded(video)
        found = valid(retrieve_float32(features.astype(np.float64), *rest, dtype="float64"), video)
    assert largest_difference(found, expected(video)) < 1e-13


@properties
@given(videos(), st.sampled_from([7.0, -1e30, np.inf, np.nan]))
def test_padded_snippets_change_no_bit(video, fill):
    plain, changed = (valid(retrieve_float32(*padded(video, fill=f)), video) for f in (0.0, fill))
    assert all(np.array_equal(a, b) for a, b in zip(plain, changed, strict=True))


@properties
@given(videos())
def test_a_larger_bucket_agrees(video):
    small, large = (valid(retrieve_float32(*padded(video, n)), video) for n in (SNIPPETS, 4 * SNIPPETS))
    assert largest_difference(large, small) < 1e-5


@pytest.mark.parametrize("last", [2, 1, 0, -5])
def test_a_single_snippet_has_one_key_with_its_plain_relevance(last):
    features = np.array([[0, 1], [3, 0], [0.6, 0.8]], np.float32)
    found = retrieve_float32(features, np.int32(3), np.array([[2, last]], np.int32))
    relevance = (0.6 * 3 + 0.8) / np.sqrt(10)  # of (.6, .8) and g = (3, 1)
    assert np.allclose(found.video, [3, 1])
    assert np.allclose(found.query, [[0.6, 0.8]])
    assert np.allclose(found.local, relevance * np.array([3, 1]))
    assert np.allclose(found.adapted, relevance * np.array([0.6, 0.8]))


def test_several_snippets_share_a_relevance_of_one():
    features = np.array([[1, 0], [0, 1], [-1, 0]], np.float32)
    found = retrieve_float32(features, np.int32(3), np.array([[0, 1]], np.int32))
    cosine = 0.5**0.5  # of y = g = (1, 1) with either snippet
    mean = (np.array([1, 0]) * cosine + np.array([0, 1]) * cosine + np.array([1, 1])) / (2 * cosine + 1)
    assert np.allclose(found.query, [[1, 1]]) and np.allclose(found.video, [1, 1])
    assert np.allclose(found.local, mean) and np.allclose(found.adapted, mean)


def test_irrelevant_keys_are_left_out():
    """relu: a snippet that points away from the query has no weight, and none is negative."""
    features = np.array([[2, 1], [-3, -1], [0, 0]], np.float32)
    found = retrieve_float32(features, np.int32(3), np.array([[0, 1]], np.int32))
    assert np.allclose(found.query, [[2, 1]]) and np.allclose(found.local, [[2, 1]])


def test_one_snippet_in_the_video():
    features = np.array([[3, 4]], np.float32)
    found = retrieve_float32(features, np.int32(1), np.array([[0, -1], [0, 0]], np.int32))
    assert np.allclose(found.video, [3, 4])
    for part in (found.query, found.local, found.adapted):
        assert np.allclose(part, [[3, 4], [3, 4]])


def test_an_all_zero_query_retrieves_nothing():
    features = np.array([[0, 0], [0, 0], [5, 1]], np.float32)
    found = retrieve_float32(features, np.int32(3), np.array([[0, 1], [0, 0]], np.int32))
    for part in (found.query, found.local, found.adapted):
        assert np.array_equal(part, np.zeros((2, 2)))
    found = retrieve_float32(np.zeros((3, 2), np.float32), np.int32(3), np.array([[0, 1]], np.int32))
    assert not np.any(np.concatenate([part.ravel() for part in found]))


def test_norms_below_1e_6_count_as_1e_6():
    assert np.allclose(unit(np.array([[3e-7, 4e-7], [3e-6, 4e-6], [0, 0]])), [[0.3, 0.4], [0.6, 0.8], [0, 0]])


def test_half_precision_features_are_read_exactly():
    """Prepared features are stored as float16; a batch may hold them as they are."""
    half = random_features(np.random.default_rng(5), SNIPPETS, "signed").astype(np.float16)
    segments = np.array([[0, 5], [2, 6], [3, 3]], np.int32)
    found, expected = (retrieve_float32(x, np.int32(SNIPPETS), segments) for x in (half, half.astype(np.float32)))
    assert all(a.dtype == np.float32 and np.array_equal(a, b) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("flavour", ["signed", "rectified"])
def test_bfloat16_stays_near_and_sums_in_float32(flavour):
    rng = np.random.default_rng(4)
    features = random_features(rng, SNIPPETS, flavour)
    segments = np.array([[0, 5], [2, 6], [3, 3]], np.int32)
    exact = retrieve_float32(features, np.int32(SNIPPETS), segments)
    near = retrieve_float32(features, np.int32(SNIPPETS), segments, dtype="bfloat16")
    assert all(part.dtype == np.float32 for part in near)
    assert np.array_equal(near.query, exact.query)
    assert 0 < largest_difference(near, exact) < 0.02


@pytest.mark.parametrize("form", ["auto", "plain", "windows"])
def test_every_form_retrieves_the_same_of_a_batch(form):
    """On this machine; the kernel has its own tests above."""
    rng = np.random.default_rng(6)
    features = np.stack([random_features(rng, 150, "signed") for _ in range(2)])
    first = rng.integers(0, 149, (2, 60))
    last = np.minimum(first + rng.integers(-2, 20, first.shape), 148)
    batch = features, np.array([150, 149], np.int32), np.stack([first, last], axis=-1).astype(np.int32)
    found = jax.jit(partial(retrieve_videos, dtype="float32", form=form))(batch)
    expected = jax.jit(jax.vmap(retrieve))(*batch)
    assert largest_difference(found, expected) < 2e-6


@pytest.mark.skipif(jax.default_backend() == "gpu", reason="a GPU has the kernel")
def test_the_kernel_is_refused_where_it_cannot_run():
    with pytest.raises(InputError, match=r"^config\.model\.retrieval is 'kernel', which needs NVIDIA GPUs .*'auto'"):
        check_form("kernel")
    for form in ("auto", "plain", "windows"):
        check_form(form)


# L-Net and G-Net


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
