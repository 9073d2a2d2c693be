"""The rules of suppression, matching, AP and AR@AN once more: plain loops over single segments, nothing shared with
the package, to compare with."""

import math


def plain_tiou(a, b):
    inter = min(a[1], b[1]) - max(a[0], b[0])
    union = (a[1] - a[0]) + (b[1] - b[0]) - inter
    if union == 0:
        return 1.0 if tuple(a) == tuple(b) else 0.0
    return max(inter, 0) / union


def plain_nms(rows, threshold):
    """rows: [(start, end, score)] of one group; the indices kept, best first."""
    order = sorted(range(len(rows)), key=lambda i: (-rows[i][2], rows[i][0], rows[i][1], i))
    kept = []
    for i in order:
        if all(plain_tiou(rows[i][:2], rows[j][:2]) <= threshold for j in kept):
            kept.append(i)
    return kept


def plain_soft_nms(rows, method, threshold, sigma, least=1e-3):
    """[(index, score)] in the order in which they are kept."""
    score = [row[2] for row in rows]
    left = set(range(len(rows)))
    kept = []
    while left:
        best = min(left, key=lambda i: (-score[i], -rows[i][2], rows[i][0], rows[i][1], i))
        left.remove(best)
        kept.append((best, score[best]))
        for i in list(left):
            overlap = plain_tiou(rows[i][:2], rows[best][:2])
            if method == "linear":
                score[i] *= 1 - overlap if overlap > threshold else 1
            else:
                score[i] *= math.exp(-(overlap**2) / sigma)
            if score[i] < rows[i][2] * least:
                left.remove(i)
    return kept


def plain_average_precision(detections, truth, threshold):
    """{class: AP} of the classes that have an instance."""
    found = {}
    for label in sorted({truth.labels[c] for c in truth.label}):
        instances = [
            (truth.video_ids[v], *segment)
            for v, c, segment in zip(truth.video, truth.label, truth.segments.tolist(), strict=True)
            if truth.labels[c] == label
        ]
        rows = [
            (-score, detections.video_ids[v], *segment)
            for v, c, segment, score in zip(
                detections.video, detections.label, detections.segments.tolist(), detections.scores, strict=True
            )
            if detections.labels[c] == label
        ]
        taken = [False] * len(instances)
        correct = []
        for _, video, start, end in sorted(rows):
            best = None
            for i, (other, *segment) in enumerate(instances):
                tiou = plain_tiou((start, end), segment)
                if other == video and not taken[i] and tiou >= threshold and tiou > 0:
                    key = (tiou, *segment)
                    best = max(best or (key, i), (key, i))
            correct.append(best is not None)
            if best:
                taken[best[1]] = True
        precision = [sum(correct[: i + 1]) / (i + 1) for i in range(len(correct))]
        found[label] = sum(max(precision[i:]) for i, hit in enumerate(correct) if hit) / len(instances)
    return found


def plain_average_recall(proposals, truth, max_average, thresholds, steps=100):
    """Recall [T][steps] by the official ActivityNet rule."""
    videos = [name for i, name in enumerate(truth.video_ids) if i in set(truth.video.tolist())]
    total = len(proposals.scores)
    lists, instances = {}, {}
    for name in videos:
        rows = [
            (-score, *segment)
            for v, segment, score in zip(
                proposals.video, proposals.segments.tolist(), proposals.scores.tolist(), strict=True
            )
            if proposals.video_ids[v] == name
        ]
        kept = min(int(len(rows) * (max_average * len(videos) / total)), len(rows))
        lists[name] = [row[1:] for row in sorted(rows)[:kept]]
        instances[name] = [
            segment
            for v, segment in zip(truth.video, truth.segments.tolist(), strict=True)
            if truth.video_ids[v] == name
        ]
    total_kept = sum(map(len, lists.values()))
    recall = []
    for threshold in thresholds:
        recall.append([])
        for step in range(1, steps + 1):
            share = step / steps * (max_average * len(videos) / total_kept)
            hits = 0
            for name in videos:
                some = lists[name][: min(int(len(lists[name]) * share), len(lists[name]))]
                hits += sum(
                    any(plain_tiou(p, i) >= threshold and plain_tiou(p, i) > 0 for p in some) for i in instances[name]
                )
            recall[-1].append(hits / len(truth.label))
    return recall
