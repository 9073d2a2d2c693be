"""The golden model and batches in this project's structs, made with the functions training and evaluation use."""

import functools

import numpy as np

from contextloc_jax.core.structs import Batch, Targets, count_centers
from contextloc_jax.interchange.torch_checkpoint import from_variables, to_variables
from contextloc_jax.localization.alignment import segment_snippets
from contextloc_jax.localization.contextloc import ContextLoc
from contextloc_jax.localization.neighbors import tree_hops
from contextloc_jax.localization.proposal_nets import edge_weights
from tests.helpers.golden_data import GOLDEN
from tests.helpers.published import published_model

NUM_CLASSES, CENTERS, TREE = 5, 8, 21
SLOTS = np.arange(CENTERS) * TREE  # center of every tree among its 168 nodes


@functools.cache
def golden(name: str) -> dict[str, np.ndarray]:
    """All arrays of a golden file."""
    with np.load(GOLDEN / f"{name}.npz") as file:
        return dict(file)


def relative_error(ours, measured) -> float:
    """Largest difference over the largest measured entry."""
    ours, measured = np.asarray(ours, np.float64), np.asarray(measured, np.float64)
    assert ours.shape == measured.shape
    return np.max(np.abs(ours - measured)) / max(np.max(np.abs(measured)), 1e-30)


def features(video) -> np.ndarray:
    return golden("pooling")[f"features_{video}"].astype(np.float32)


def expected_shapes(model: ContextLoc, width: int) -> dict:
    """Shapes of the model's variables for features of `width`."""
    import jax

    batch = scoring_batch(np.zeros((3, width), np.float32), np.array([[0, 64, 0, 64]]), np.zeros((1, TREE), int))
    return jax.eval_shape(lambda: model.init(jax.random.key(0), batch))


def model_and_variables(**ablation) -> tuple[ContextLoc, dict]:
    """ContextLoc without dropout, with the golden weights."""
    model = published_model(NUM_CLASSES, head_dropout=0.0, **ablation)
    variables = to_variables(golden("weights"), expected_shapes(model, 1024))
    variables.pop("batches_tracked")
    return model, variables


def scoring_batch(video_features: np.ndarray, ticks: np.ndarray, trees: np.ndarray) -> Batch:
    """One video, all its proposals, one tree a center."""
    count = len(ticks)
    first_hop, second_hop = tree_hops(trees)
    return Batch(
        features=video_features[None],
        num_snippets=np.array([len(video_features)], np.int32),
        segments=segment_snippets(ticks, len(video_features), snippet_stride=8, snippet_length=64)[None],
        node_count=np.ones((1, count), np.float32),
        first_hop=first_hop[None],
        second_hop=second_hop[None],
        center_mask=np.ones((1, len(trees)), bool),
        example_key=np.zeros(1, np.uint32),
        targets=None,
    )


def training_batch() -> Batch:
    """The two videos of train.npz, 8 centers x 21 nodes each."""
    train = golden("train")
    trees = np.arange(CENTERS * TREE).reshape(CENTERS, TREE)
    rows = [scoring_batch(features(v), ticks, trees) for v, ticks in zip(train["video"], train["ticks"], strict=True)]
    longest = max(row.features.shape[1] for row in rows)
    padded = [np.pad(row.features, ((0, 0), (0, longest - row.features.shape[1]), (0, 0))) for row in rows]
    stacked = {
        name: np.concatenate([getattr(row, name) for row in rows])
        for name in Batch._fields
        if name not in ("features", "targets")
    }
    center_type = train["prop_type"][:, SLOTS].astype(np.int32)
    targets = Targets(
        center_type=center_type,
        label=train["target"][:, SLOTS].astype(np.int32),
        regression=train["reg_target"][:, SLOTS].astype(np.float32),
        totals=np.tile(count_centers(center_type), (len(center_type), 1)),
    )
    return Batch(features=np.concatenate(padded), targets=targets, **stacked)


def adjacency(nodes: np.ndarray, trees: np.ndarray) -> np.ndarray:
    """Rows 0..4 of the authors' 21 x 21 adjacency, from the weights the graph uses: nodes [M, F] -> [trees, 5, 21]."""
    rows = np.zeros((len(trees), 5, TREE), np.float32)
    for row in range(5):
        places = [row, *range(4 * row + 1, 4 * row + 5)]
        rows[:, row, places] = edge_weights(np.asarray(nodes)[trees[:, places]])
    return rows


def authors_names(params: dict) -> dict[str, np.ndarray]:
    """A tree of parameters (or of their gradients) under the authors' names and layouts."""
    return from_variables({"params": params})
