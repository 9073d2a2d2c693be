"""What ContextLoc brings to a training step: its loss is the reference's, and the shares of videos add up to it."""

import jax
import numpy as np
import pytest

from contextloc_jax.localization.losses import Losses
from contextloc_jax.localization.objective import training_inputs, training_loss
from tests.helpers import reference_model as reference
from tests.helpers.compiling import quickly_compiled
from tests.helpers.published import WEIGHTS
from tests.helpers.random_videos import largest_difference, padded_batch, random_targets
from tests.helpers.small_models import full_video, model_of, variables_of

VIDEOS = 2


@pytest.fixture(scope="module")
def videos_and_batch():
    rng = np.random.default_rng(4)
    videos = [full_video(rng) for _ in range(VIDEOS)]
    return videos, padded_batch(videos, targets=random_targets(rng, VIDEOS), dtype=np.float64)


def found_losses(name, inputs, num_videos=None):
    """(Losses, BatchNorm statistics afterwards) of inputs, without dropout."""
    loss, variables = training_loss(model_of(name), WEIGHTS), variables_of(name)
    run = quickly_compiled(lambda params, stats, inputs: loss(params, stats, inputs, None, num_videos))
    with jax.enable_x64(True):
        return jax.tree.map(np.asarray, run(variables["params"], variables.get("batch_stats", {}), inputs))


def inputs_of(name, batch):
    with jax.enable_x64(True):
        return jax.tree.map(np.asarray, training_inputs(model_of(name))(batch))


def test_the_loss_is_the_references(videos_and_batch):
    videos, batch = videos_and_batch
    found, stats = found_losses("contextloc", inputs_of("contextloc", batch))
    scores, expected_stats = reference.score(variables_of("contextloc"), videos, model_of("contextloc"), train=True)
    assert found._fields == ("activity", "completeness", "regression", "total")
    assert np.allclose(found, reference.losses(scores, batch.targets), rtol=1e-9)
    assert largest_difference(stats, expected_stats) < 1e-12


def test_shares_of_the_videos_add_up_and_a_model_without_batch_norm_has_no_statistics(videos_and_batch):
    name, (_, batch) = "no BatchNorm", videos_and_batch
    inputs = inputs_of(name, batch)
    whole, stats = found_losses(name, inputs)
    shares = [found_losses(name, jax.tree.map(lambda a, v=v: a[v : v + 1], inputs), VIDEOS)[0] for v in range(VIDEOS)]
    assert stats == {} and largest_difference(Losses(*np.sum(shares, axis=0)), whole) < 1e-12


def test_inputs_keep_the_graph_the_targets_and_the_dropout_keys_of_the_batch(videos_and_batch):
    _, batch = videos_and_batch
    inputs = inputs_of("contextloc", batch)
    for name in inputs.graph._fields:
        assert np.array_equal(getattr(inputs.graph, name), getattr(batch, name)), name
    assert jax.tree.all(jax.tree.map(np.array_equal, inputs.targets, batch.targets))
    assert np.array_equal(inputs.example_key, batch.example_key)
