"""The real THUMOS14 annotations with made features and sliding windows, as files of the documented formats.

python -m tests.helpers.thumos_files ANNOTATIONS.json FOLDER [WIDTH]
writes all 413 videos and prints the flags to set
"""

import sys
from pathlib import Path

import numpy as np

from contextloc_jax.proposals.sliding_windows import sliding_windows
from input_pipeline.formats.annotations import VideoAnnotation, class_names, read_annotations
from input_pipeline.formats.proposal_tables import VideoProposals, write_proposal_csv

STRIDE, LENGTH = 8, 64


def write_thumos(annotations: Path, folder: Path, width: int, videos_per_split: int | None = None) -> dict[str, str]:
    """Writes features and windows of the shortest videos (default: all); returns the keys of config.data to set."""
    videos = read_annotations(annotations)
    names = class_names(videos)
    keys = {"annotations": str(annotations)}
    for split, subset in (("train", "validation"), ("test", "test")):
        chosen = sorted((v for v in videos if v.subset == subset), key=lambda v: v.duration_seconds)[:videos_per_split]
        (folder / f"{split}_features").mkdir(parents=True)
        for video in chosen:
            np.save(folder / f"{split}_features" / f"{video.video_id}.npy", _features(video, names, width))
        write_proposal_csv(folder / f"{split}.csv", [_windows(video) for video in chosen])
        keys[f"{split}_features"] = str(folder / f"{split}_features")
        keys[f"{split}_proposals"] = str(folder / f"{split}.csv")
    return keys


def _features(video: VideoAnnotation, names: list[str], width: int) -> np.ndarray:
    """Noise in which every class has a direction of its own; as many snippets as the annotated frames hold."""
    rng = np.random.default_rng([*video.video_id.encode()])
    features = np.abs(rng.standard_normal((max(1, (video.num_frames - LENGTH) // STRIDE + 1), width), "f4"))
    directions = np.abs(np.random.default_rng(0).standard_normal((len(names), width), "f4"))
    snippets = video.segments_seconds * (video.num_frames / video.duration_seconds) / STRIDE
    for label, (first, last) in zip(video.labels, snippets.astype(int), strict=True):
        features[first : last + 1] += directions[names.index(label)]
    return features.astype(np.float16)


def _windows(video: VideoAnnotation) -> VideoProposals:
    """1 s, 1.6 s, ... in whole hundredths of a second."""
    hundredths = sliding_windows(
        int(video.duration_seconds * 100), 100, shortest_seconds=1.0, growth=1.6, longest_seconds=30.0
    )
    return VideoProposals(video.video_id, hundredths / 100)


if __name__ == "__main__":
    annotations_path, folder_path, *sizes = sys.argv[1:]
    found = write_thumos(Path(annotations_path), Path(folder_path), *(int(size) for size in sizes or ["1024"]))
    print(" ".join(f"--config.data.{key}={value}" for key, value in found.items()))
