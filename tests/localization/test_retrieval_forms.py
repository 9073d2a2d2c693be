"""Which form of retrieval runs where, and that all retrieve the same."""

from functools import partial

import jax
import numpy as np
import pytest

from contextloc_jax.core.errors import InputError
from contextloc_jax.devices.mesh import MeshParallel
from contextloc_jax.localization import retrieval_forms
from contextloc_jax.localization.retrieval import retrieve
from contextloc_jax.localization.retrieval_forms import check_form, retrieve_videos
from tests.helpers.random_videos import largest_difference, random_features


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


@pytest.mark.parametrize("form", ["auto", "plain", "windows"])
def test_every_form_retrieves_the_same_of_a_batch(form):
    """On this machine; the kernel has tests of its own (test_retrieval_kernel.py)."""
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
