"""Records of videos whose proposals and instances are in seconds: converts them to frames, and finds the length.

Seconds become the nearest frame at the annotated frame rate; if there is none, at config.data.fps. The features may
have been extracted at another rate than the annotated one. If only config.data.fps fits the number of snippets, it is
used, and the data report counts this.
"""

from collections.abc import Callable

import numpy as np

from contextloc_jax.core.errors import InputError, excerpt
from input_pipeline.formats.annotations import VideoAnnotation
from input_pipeline.formats.proposal_list_text import MAX_FRAMES
from input_pipeline.formats.proposal_tables import VideoProposals
from input_pipeline.videos.labels import label_proposals
from input_pipeline.videos.records import VideoRecord
from input_pipeline.videos.timing import Timing


def fps_of(video: VideoAnnotation | None, timing: Timing) -> float:
    """Frames per second: the annotated rate, else that of the settings."""
    return (video and video.fps) or timing.fps


def frames_of(video: VideoAnnotation | None, fps: float) -> int | None:
    """The number of frames of the video at this rate; None if the annotations do not give its length."""
    if video is None or video.duration_seconds is None:
        return video and video.num_frames
    return max(1, round(video.duration_seconds * fps))


class SecondsReader:
    """Makes records from proposals in seconds. `guessed` collects the ids whose length came from the features."""

    def __init__(
        self,
        path,
        class_names,
        annotated,
        timing: Timing,
        num_snippets: Callable[[str], int | None],
        reading,
        guessed: set[str],
    ):
        self._path, self._class_names, self._annotated, self._timing = path, list(class_names), annotated, timing
        self._num_snippets, self._reading, self._guessed = num_snippets, reading, guessed

    def record(self, proposals: VideoProposals) -> VideoRecord:
        """The record of one video. Without features, its length does not matter: it will count as missing."""
        video = self._annotated.get(proposals.video_id)
        where = f"{self._path}: video {excerpt(proposals.video_id)}"
        num_frames, fps = self._timed(proposals.video_id, video, where)
        gt_labels, gt_segments = self._instances(video, fps, num_frames, where)
        segments, kept = _to_frames(proposals.segments_seconds, fps, num_frames, "proposal", where, self._reading)
        labeled = label_proposals(segments, gt_segments, gt_labels, num_frames)
        return VideoRecord(
            proposals.video_id, num_frames, fps, gt_labels, gt_segments, np.minimum(segments, num_frames), *labeled,
            proposal_scores=None if proposals.scores is None else proposals.scores[kept], group=proposals.video_id,
        )  # fmt: skip

    def _timed(self, video_id: str, video: VideoAnnotation | None, where: str) -> tuple[int, float]:
        """(frames, frames per second) by the rules above."""
        fps = fps_of(video, self._timing)
        num_frames = frames_of(video, fps)
        doubtful = num_frames is None or (video.duration_seconds is not None and fps != self._timing.fps)
        if not doubtful or (num_frames and self._timing.num_bins):
            return num_frames, fps
        num_snippets = self._num_snippets(video_id)
        if num_snippets is None:
            return num_frames or MAX_FRAMES, fps
        if self._timing.num_bins:
            raise InputError(f"{where}: its duration is unknown: give config.data.annotations with its duration")
        if num_frames is None:
            self._guessed.add(video_id)
            return self._timing.frames_of(num_snippets), fps
        at_default = frames_of(video, self._timing.fps)
        if not self._timing.fits(num_snippets, num_frames) and self._timing.fits(num_snippets, at_default):
            self._reading.note(
                f"{fps:g} frames per second annotated, but the features fit config.data.fps = {self._timing.fps:g}",
                where,
            )
            return at_default, self._timing.fps
        return num_frames, fps

    def _instances(self, video: VideoAnnotation | None, fps: float, num_frames: int, where: str):
        """(gt_labels [G] class indices, gt_segments [G, 2] frames); none for a video without annotations."""
        if video is None:
            return np.zeros(0, np.int64), np.zeros((0, 2), np.int64)
        unknown = [label for label in video.labels if label not in self._class_names]
        if unknown:
            raise InputError(
                f"{where}: annotated label {excerpt(unknown[0])} is not one of the {len(self._class_names)} classes "
                f"{excerpt(self._class_names)}: check config.data.num_classes and the annotations"
            )
        labels = np.array([self._class_names.index(label) + 1 for label in video.labels], np.int64)
        segments, kept = _to_frames(video.segments_seconds, fps, num_frames, "ground truth", where, self._reading)
        return labels[kept], np.minimum(segments, num_frames)


def _to_frames(segments_seconds, fps, num_frames, kind, where, reading) -> tuple[np.ndarray, np.ndarray]:
    """(segments [N, 2] frames, not clipped; kept [M] bool), by the rules of lists: empty and late ones are skipped."""
    segments = np.rint(np.minimum(segments_seconds * fps, MAX_FRAMES)).astype(np.int64).reshape(-1, 2)
    empty = segments[:, 1] <= segments[:, 0]
    late = ~empty & (segments[:, 0] >= num_frames)
    clipped = ~empty & ~late & (segments[:, 1] > num_frames)
    for what, found in (
        (f"{kind} skipped: shorter than a frame", empty),
        (f"{kind} skipped: starts after the end of the video", late),
        (f"{kind} clipped at the end of the video", clipped),
    ):
        for start, end in segments[found]:
            reading.note(what, f"{where} [{start / fps:g}, {end / fps:g}]")
    kept = ~empty & ~late
    return segments[kept], kept
