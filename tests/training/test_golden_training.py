"""Train-mode outputs, losses, gradients, BatchNorm statistics and SGD steps against the authors' code."""

import jax
import numpy as np
import pytest

from contextloc_jax.core.structs import BACKGROUND, FOREGROUND
from contextloc_jax.devices.mesh import MeshParallel
from contextloc_jax.localization.contextloc import ContextLoc, graph_of
from contextloc_jax.localization.losses import losses
from contextloc_jax.localization.objective import training_inputs, training_loss
from contextloc_jax.training.optimizer import learning_rate_schedule, sgd
from contextloc_jax.training.step import TrainState, loss_gradients, make_train_step
from tests.helpers.golden_model import (
    adjacency,
    authors_names,
    golden,
    model_and_variables,
    relative_error,
    training_batch,
)
from tests.helpers.published import WEIGHTS

OUTPUT_TOLERANCE, GRADIENT_TOLERANCE = 2e-5, 1e-4
NORMS = {"BN_A": "activity_norm", "BN_C": "completeness_norm"}


@pytest.fixture(scope="module")
def setting():
    model, variables = model_and_variables()
    optimizer = sgd(learning_rate_schedule(0.01, (15, 30), 0.1, 100), 0.9, 5e-4)
    state = TrainState(
        np.zeros((), np.int32), variables["params"], variables["batch_stats"], optimizer.init(variables["params"])
    )
    return model, optimizer, state, training_batch()


@pytest.fixture(scope="module")
def first_step(setting):
    """Losses, gradients under the authors' names, and batch statistics of one step."""
    model, _, state, batch = setting
    loss, inputs = training_loss(model, WEIGHTS), training_inputs(model)
    run = jax.jit(lambda state, batch: loss_gradients(loss, state, inputs(batch), None, None))
    found, gradients, batch_stats = run(state, batch)
    return found, authors_names(jax.tree.map(np.asarray, gradients)), batch_stats


@pytest.fixture(scope="module")
def four_steps(setting):
    """Scalars of four steps on the same batch and the state after the first, through the compiled train step."""
    model, optimizer, state, batch = setting
    parallel = MeshParallel()
    step = parallel.compile_step(
        make_train_step(training_loss(model, WEIGHTS), optimizer, learning_rate_schedule(0.01, (), 0.1, 100), seed=0)
    )
    inputs = parallel.compile_rows(training_inputs(model))(parallel.shard(batch))
    scalars, states = [], []
    placed = parallel.replicate(state)
    for _ in range(4):
        placed, values = step(placed, (inputs, parallel.shard(np.zeros(1, np.float32))))
        scalars.append({name: float(value) for name, value in values.items()})
        states.append(parallel.to_host(placed))
    return scalars, states[0]


@pytest.mark.parametrize("train, prefix", [(True, "out"), (True, "out64"), (False, "eval_out")])
def test_golden_outputs(setting, train, prefix):
    model, _, state, batch = setting
    train_data = golden("train")
    scores, _ = model.apply(state.variables, batch, train, mutable=["batch_stats"])
    kind, label = batch.targets.center_type, batch.targets.label
    activity = (kind == FOREGROUND) | (kind == BACKGROUND)
    assert relative_error(scores.activity[activity], train_data[f"{prefix}.raw_act"]) < OUTPUT_TOLERANCE
    completeness = scores.completeness[:, :-1].reshape(-1, scores.completeness.shape[-1])
    assert relative_error(completeness, train_data[f"{prefix}.raw_comp"]) < OUTPUT_TOLERANCE
    assert relative_error(scores.regression[kind == FOREGROUND], train_data[f"{prefix}.raw_reg"]) < OUTPUT_TOLERANCE
    assert np.array_equal(label[activity], train_data["out.act_target"])
    assert np.array_equal(kind[activity], train_data["out.act_type"])
    assert np.array_equal(label[:, :-1].reshape(-1), train_data["out.comp_target"])
    assert np.array_equal(label[kind == FOREGROUND], train_data["out.reg_label"])
    assert np.allclose(batch.targets.regression[kind == FOREGROUND], train_data["out.reg_target_out"])
    if not train:
        found = losses(scores, batch.targets, WEIGHTS)
        assert np.allclose(found, train_data["eval_loss"], rtol=1e-5)


def test_golden_features_before_and_after_batch_norm(setting):
    model, _, state, batch = setting
    train_data = golden("train")
    pooled = model.apply(state.variables, model.retrieve(batch), graph_of(batch), method=ContextLoc.segment_features)
    rows = pooled[:, train_data["pooled_rows"]]
    assert relative_error(rows[:, :, 1], train_data["pooled_act"]) < OUTPUT_TOLERANCE
    assert relative_error(rows, train_data["pooled_comp"]) < OUTPUT_TOLERANCE
    (activity, completeness), _ = model.apply(
        state.variables, pooled, batch.node_count, True, method=ContextLoc.branch_features, mutable=["batch_stats"]
    )
    centers = batch.first_hop[0, ::5, 0]
    trees = np.arange(batch.node_count.shape[1]).reshape(len(centers), -1)
    for branch, name in ((activity, "act"), (completeness, "comp")):
        measured = train_data[f"bn_out_{name}_rows0"]
        assert relative_error(np.asarray(branch)[:, centers].reshape(measured.shape), measured) < 6e-5, name
        edges = np.concatenate([adjacency(nodes, trees) for nodes in branch])
        assert relative_error(edges, train_data[f"adj_{name}"]) < 6e-5, name


def test_golden_losses_of_four_steps(four_steps):
    names = ["loss/activity", "loss/completeness", "loss/regression", "loss/total"]
    train_data = golden("train")
    ours = np.array([[scalars[name] for name in names] for scalars in four_steps[0]])
    assert np.allclose(ours[0], train_data["loss"], rtol=1e-5)
    assert np.allclose(ours[0], train_data["loss_float64"], rtol=1e-5)
    assert np.allclose(ours[0], train_data["step_losses"][0], rtol=1e-5)
    assert np.allclose(ours, train_data["step_losses"], rtol=1e-3)
    assert np.allclose(ours, train_data["step_losses_float64"], rtol=1e-3)


def test_golden_gradient_of_every_parameter(first_step):
    _, gradients, _ = first_step
    train_data = golden("train")
    compared = {key.removeprefix("grad.") for key in train_data if key.startswith("grad.")}
    assert set(gradients) >= compared and len(compared) == 24
    for name in compared:
        assert relative_error(picked(gradients[name], name), train_data[f"grad.{name}"]) < GRADIENT_TOLERANCE, name
        assert np.isclose(np.linalg.norm(gradients[name]), train_data[f"grad_norm.{name}"], rtol=1e-4), name
        scale = np.abs(gradients[name]).sum(dtype=np.float64)
        total = gradients[name].sum(dtype=np.float64)
        assert abs(total - train_data[f"grad_sum.{name}"]) < 1e-4 * scale, name
        for axis, sums in ((1, "grad_rowsum"), (0, "grad_colsum")):
            if f"{sums}.{name}" in train_data:
                ours = gradients[name].sum(axis=axis, dtype=np.float64)
                assert relative_error(ours, train_data[f"{sums}.{name}"]) < 3 * GRADIENT_TOLERANCE, (sums, name)


def test_golden_parameters_after_one_step(setting, four_steps):
    before, after = authors_names(setting[2].params), authors_names(four_steps[1].params)
    train_data = golden("train")
    for name in (key.removeprefix("param.") for key in train_data if key.startswith("param.")):
        assert relative_error(picked(after[name], name), train_data[f"param.{name}"]) < OUTPUT_TOLERANCE, name
        assert np.isclose(np.linalg.norm(after[name]), train_data[f"param_norm.{name}"], rtol=1e-5), name
        moved = np.linalg.norm(after[name].astype(np.float64) - before[name])
        assert np.isclose(moved, train_data[f"delta_norm.{name}"], rtol=1e-3), name


def test_golden_batch_norm_statistics_after_one_step(four_steps):
    train_data = golden("train")
    for theirs, ours in NORMS.items():
        stats = four_steps[1].batch_stats[ours]
        assert relative_error(stats["mean"], train_data[f"bn_after.{theirs}.running_mean"]) < OUTPUT_TOLERANCE
        assert relative_error(stats["var"], train_data[f"bn_after.{theirs}.running_var"]) < OUTPUT_TOLERANCE


def picked(array: np.ndarray, name: str) -> np.ndarray:
    """The entries the golden file holds of a parameter: all, or those at its flat indices."""
    index = golden("train").get(f"idx.{name}")
    return array if index is None else array.reshape(-1)[index]
