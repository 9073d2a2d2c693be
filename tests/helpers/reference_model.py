"""The model as its formulas read: float64 NumPy, one video, proposal and snippet at a time, no jax.

L-Net, G-Net, BatchNorm, P-GCN, the non-local P-Net, heads and losses as in ContextLoc (arXiv 2107.12960) and the
authors' code it describes; what the fast path shares, pads, masks or reorders is spelled out here. `params` is the
model's parameter tree, `settings` anything with the ablation fields of ContextLoc (a ContextLoc will do).
"""

from typing import NamedTuple

import numpy as np

FOREGROUND, INCOMPLETE, BACKGROUND = 0, 1, 2
START, ACTION, END = 0, 1, 2


class Video(NamedTuple):
    """features [T, D], segments [M, 3, 2] (first, last snippet), counts [M], trees [C, 21] node indices."""

    features: np.ndarray
    segments: np.ndarray
    counts: np.ndarray
    trees: np.ndarray


class VideoScores(NamedTuple):
    """activity [C, K + 1], completeness [C, K], regression [C, K, 2]."""

    activity: np.ndarray
    completeness: np.ndarray
    regression: np.ndarray


# L-Net and G-Net


def relevance(query, key) -> float:
    """relu(cosine); a norm below 1e-6 counts as 1e-6."""
    return max(0.0, query @ key / (max(np.linalg.norm(query), 1e-6) * max(np.linalg.norm(key), 1e-6)))


def retrieved(query, keys, normalize: bool):
    """Sum of the keys weighted by their relevance to the query; zero where none is relevant."""
    weights = np.array([relevance(query, key) for key in keys])
    if normalize and weights.sum() > 0:
        weights = weights / weights.sum()
    return sum(weight * key for weight, key in zip(weights, keys, strict=True))


def local_and_global(features, first, last):
    """Of one segment: its query y, L-Net's context, G-Net's context, the video representation g."""
    g = features.max(axis=0)
    if first < last:
        snippets = list(features[first : last + 1])
        y = np.max(snippets, axis=0)
        return y, retrieved(y, [*snippets, g], True), retrieved(g, [*snippets, y], True), g
    y = features[first]
    return y, retrieved(y, [g], False), retrieved(g, [y], False), g


def projected(params, query, context):
    """relu(query W_q + context W_c + b); without a context, relu(query W_q + b)."""
    total = query @ params["query"] + params["bias"]
    return np.maximum(0, total if context is None else total + context @ params["context"])


def segment_feature(params, features, first, last, settings):
    """z = [l ; u] of one segment."""
    y, local, adapted, g = local_and_global(features, first, last)
    if not settings.local_context and not settings.global_context:
        return y
    parts = [projected(params["l_net"], y, local if settings.local_context else None)]
    if settings.global_context:
        parts.append(projected(params["g_net"], g, adapted if settings.adaptation else None))
    return np.concatenate(parts)


def proposal_features(params, video, settings):
    """A [M, F] and C [M, 3F] (or [M, F] without the start and end segments)."""
    wanted = (START, ACTION, END) if settings.boundary_segments else (ACTION,)
    activity, completeness = [], []
    for proposal in video.segments:
        z = {which: segment_feature(params, video.features, *proposal[which], settings) for which in wanted}
        activity.append(z[ACTION])
        completeness.append(np.concatenate([z[which] for which in wanted]))
    return np.array(activity), np.array(completeness)


# BatchNorm


def normalized(params, rows, mean, variance):
    return (rows - mean) / np.sqrt(variance + 1e-5) * params["scale"] + params["bias"]


def batch_norm(params, stats, videos_rows, videos_counts, train: bool):
    """Rows of every video normalized, and the statistics afterwards; a node of count n is n rows."""
    if not train:
        return [normalized(params, rows, stats["mean"], stats["var"]) for rows in videos_rows], stats
    rows = np.concatenate(
        [np.repeat(rows, counts.astype(int), axis=0) for rows, counts in zip(videos_rows, videos_counts, strict=True)]
    )
    mean, variance = rows.mean(axis=0), rows.var(axis=0)
    after = {
        "mean": 0.9 * stats["mean"] + 0.1 * mean,
        "var": 0.9 * stats["var"] + 0.1 * rows.var(axis=0, ddof=min(1, len(rows) - 1)),
    }
    return [normalized(params, rows, mean, variance) for rows in videos_rows], after


# P-Net


def cosine(a, b) -> float:
    """Without a floor; 0 where a vector is zero."""
    product = np.sqrt(a @ a) * np.sqrt(b @ b)
    return a @ b / product if product > 0 else 0.0


def adjacency(nodes):
    """[21, F] -> [21, 21]: rows 0..4 weigh a node by 1 and its children by 1/4, times relu(cosine)."""
    matrix = np.zeros((21, 21))
    for row in range(5):
        for column, weight in [(row, 1.0)] + [(4 * row + child, 0.25) for child in (1, 2, 3, 4)]:
            matrix[row, column] = max(0.0, weight * cosine(nodes[row], nodes[column]))
    return matrix


def graph_network(params, x, tree):
    """P-GCN on one tree: [its output of the center ; the center's feature]."""
    nodes = x[tree]
    matrix = adjacency(nodes)
    hidden = np.maximum(0, matrix @ (nodes @ params["first"]["kernel"]) + params["first"]["bias"])
    output = matrix @ (hidden @ params["second"]["kernel"]) + params["second"]["bias"]
    return np.concatenate([output[0], nodes[0]])


def linear(params, x):
    return x @ params["kernel"] + params["bias"]


def nonlocal_network(params, x, center):
    """Embedded-Gaussian non-local block: [residual + attention over all nodes ; the center's feature]."""
    query = linear(params["query"], x[center])
    affinity = np.array([query @ linear(params["key"], node) for node in x])
    attention = np.exp(affinity - affinity.max()) / np.exp(affinity - affinity.max()).sum()
    gathered = sum(weight * linear(params["value"], node) for weight, node in zip(attention, x, strict=True))
    return np.concatenate([x[center] + linear(params["output"], gathered), x[center]])


def related(params, name, x, trees, settings):
    """Center features [C, 2F] of the P-Net called `name`."""
    if settings.proposal_net == "pgcn":
        return np.array([graph_network(params[name], x, tree) for tree in trees])
    if settings.proposal_net == "nonlocal":
        return np.array([nonlocal_network(params[name], x, tree[0]) for tree in trees])
    return np.array([np.concatenate([x[tree[0]], x[tree[0]]]) for tree in trees])


# The whole model and its losses


def score(variables, videos, settings, train=False):
    """Scores of every video, and the BatchNorm statistics afterwards ({} without BatchNorm)."""
    params, stats = variables["params"], variables.get("batch_stats", {})
    branches = list(zip(*[proposal_features(params, video, settings) for video in videos], strict=True))
    counts = [video.counts for video in videos]
    after = {}
    if settings.batch_norm:
        for i, name in enumerate(("activity_norm", "completeness_norm")):
            branches[i], after[name] = batch_norm(params[name], stats[name], branches[i], counts, train)
    scores = []
    for activity, completeness, video in zip(*branches, videos, strict=True):
        activity = related(params, "activity_graph", activity, video.trees, settings)
        completeness = related(params, "completeness_graph", completeness, video.trees, settings)
        regression = linear(params["regression_head"], completeness)
        scores.append(
            VideoScores(
                linear(params["activity_head"], activity),
                linear(params["completeness_head"], completeness),
                regression.reshape(len(regression), -1, 2),
            )
        )
    return scores, after


def cross_entropy(logits, label) -> float:
    return np.log(np.exp(logits - logits.max()).sum()) + logits.max() - logits[label]


def completeness_hinge(groups_scores, groups_labels, num_positive) -> float:
    """Positives above 1, others below -1; of a group's others the hardest 17 %, at least one."""
    total, num_negative = 0.0, 0
    for scores, labels in zip(groups_scores, groups_labels, strict=True):
        own = [row[label - 1] for row, label in zip(scores, labels, strict=True)]
        negatives = sorted((max(0.0, 1 + value) for value in own[num_positive:]), reverse=True)
        kept = max(int(len(negatives) * 0.17), 1)
        total += sum(max(0.0, 1 - value) for value in own[:num_positive]) + sum(negatives[:kept])
        num_negative += len(negatives)
    return total / (len(groups_scores) * num_positive + max(int(num_negative * 0.17), 1))


def smooth_l1(error: float) -> float:
    return 0.5 * error**2 if abs(error) < 1 else abs(error) - 0.5


def losses(scores, targets, num_positive=1, num_background=1, weights=(0.5, 0.5)):
    """activity, completeness, regression and total loss of the videos' scores.

    targets: (center_type [V, C], label [V, C], regression [V, C, 2], ...); the last slots of a video are background's.
    """
    center_type, label, regression_target = targets[:3]
    activity, regression = [], []
    for video, kinds in enumerate(center_type):
        for c, kind in enumerate(kinds):
            if kind in (FOREGROUND, BACKGROUND):
                activity.append(cross_entropy(scores[video].activity[c], label[video, c]))
            if kind == FOREGROUND:
                found = scores[video].regression[c, label[video, c] - 1]
                regression.append(sum(smooth_l1(e) for e in found - regression_target[video, c]))
    judged = slice(label.shape[1] - num_background)
    completeness = completeness_hinge([s.completeness[judged] for s in scores], label[:, judged], num_positive)
    parts = [np.mean(activity), completeness, np.mean(regression)]
    return np.array([*parts, parts[0] + weights[0] * parts[1] + weights[1] * parts[2]])
