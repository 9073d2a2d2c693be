"""The library: the names that `import contextloc_jax` offers (docs/api.md has an example of each).

The numbers are the same as on the command line, to the bit. No function prints. Wrong input raises InputError, a
ValueError whose message is one line. jax takes long to import, so only the functions that need it import it.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from contextloc_jax.core.errors import InputError
from contextloc_jax.core.structs import Detections, GroundTruth, VideoScores, concatenate
from contextloc_jax.evaluation.average_precision import evaluate
from contextloc_jax.evaluation.recall import average_recall
from contextloc_jax.interchange.detection_files import read_detections, write_detections

if TYPE_CHECKING:
    from contextloc_jax.commands.settings import Settings
    from contextloc_jax.commands.trained import Trained
    from contextloc_jax.localization.contextloc import ContextLoc
    from contextloc_jax.localization.g_net import GNet
    from contextloc_jax.localization.l_net import LNet
    from contextloc_jax.localization.proposal_nets import PGCN, NonLocal

MODULES = {  # Flax module -> the file of localization/ that defines it
    "ContextLoc": "contextloc",
    "LNet": "l_net",
    "GNet": "g_net",
    "PGCN": "proposal_nets",
    "NonLocal": "proposal_nets",
}
__all__ = [
    "PGCN",
    "ContextLoc",
    "Detections",
    "GNet",
    "GroundTruth",
    "InputError",
    "LNet",
    "Localizer",
    "NonLocal",
    "average_recall",
    "concatenate",
    "evaluate",
    "read_annotations",
    "read_detections",
    "read_features",
    "write_detections",
]


def __getattr__(name: str) -> Any:
    """The Flax modules. They are imported on first use, because they import jax."""
    if name not in MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"contextloc_jax.localization.{MODULES[name]}"), name)


class Localizer:
    """A trained ContextLoc model: snippet features and proposals of a video in, detections out.

    localizer = Localizer.load("runs/mine")
    detections = localizer(features, proposals_seconds, fps=25.0, duration_seconds=95.0)

    class_names: the K labels. settings: the configuration of the run. The numbers of snippets and proposals are padded
    to powers of two, and the model is compiled at the first call with new padded numbers.
    """

    def __init__(self, settings: "Settings", trained: "Trained"):
        from contextloc_jax.commands.trained import make_inference
        from contextloc_jax.localization.alignment import alignment_rule

        if trained.regression_stats is None or trained.class_names is None:
            raise InputError(
                f"checkpoint {trained.step} was imported without class names and regression statistics; it can be used "
                "with --mode=evaluate and --mode=predict, which take them from the dataset"
            )
        self.settings, self.class_names, self._trained = settings, list(trained.class_names), trained
        self._parallel = settings.make_parallel()
        self._inference = make_inference(self._parallel, settings.model)
        data = settings.inputs.data
        self._align = alignment_rule(data["num_bins"], data["snippet_stride"], data["snippet_length"])

    @classmethod
    def load(
        cls, workdir: str | os.PathLike, checkpoint: str | int = "best", settings: Mapping[str, Any] | None = None
    ) -> "Localizer":
        """Loads the model of a trained workdir.

        Args:
          workdir: the folder of the run.
          checkpoint: 'best', 'latest' or a step.
          settings: new values of keys that say how detections are made, such as {"detection.nms_tiou": 0.5}.

        InputError: no checkpoint can be read, or a setting is unknown, fixed by training, or out of range.
        """
        from contextloc_jax.commands.settings import read_settings
        from contextloc_jax.commands.trained import read_trained
        from contextloc_jax.workdir.config_file import FREE_KEYS

        changes = dict(settings or {})
        trained = read_trained(str(workdir), str(checkpoint), strict_restore=False)
        if wrong := [key for key in changes if not key.startswith(FREE_KEYS) or key not in trained.config]:
            raise InputError(
                f"Localizer.load: {wrong[0]!r} is not a setting that a trained model can change; expected keys such as "
                "'detection.nms_tiou'"
            )
        return cls(read_settings(trained.config | changes), trained)

    def __call__(
        self,
        features: np.ndarray,
        proposals_seconds: np.ndarray,
        *,
        fps: float | None = None,
        duration_seconds: float | None = None,
        video_id: str = "video",
    ) -> Detections:
        """The detections of one video, as --mode=predict writes them.

        Args:
          features: [T, D] snippet features, finite numbers; D as in training.
          proposals_seconds: [N, 2] start and end, in seconds.
          fps: frames per second of the video that the features were extracted from; by default config.data.fps.
          duration_seconds: of the video; by default the time that its snippets cover.
          video_id: the name of the video in the result. The random draw of neighbors depends on it.

        Returns: Detections (rows by class and decreasing score; segments in seconds; labels are `class_names`).
        InputError: an array has another shape or width, a value is not finite, or a proposal ends before it starts.
        """
        from contextloc_jax.localization.decode import detect

        scores = self.score(features, proposals_seconds, fps=fps, duration_seconds=duration_seconds, video_id=video_id)
        return detect([scores], self.class_names, self.settings.detection)

    def score(
        self,
        features: np.ndarray,
        proposals_seconds: np.ndarray,
        *,
        fps: float | None = None,
        duration_seconds: float | None = None,
        video_id: str = "video",
    ) -> VideoScores:
        """The model's scores of every proposal. A call makes detections from them; arguments and InputError as there.

        Returns: VideoScores: proposals [N, 2] as fractions of the video, activity [N, K + 1], completeness [N, K],
        regression [N, K, 2]. N counts the proposals that last at least one frame and start inside the video.
        """
        from contextloc_jax.commands.trained import check_feature_width
        from contextloc_jax.localization.video_scores import Video, to_video_scores
        from input_pipeline.batches.evaluation_batches import EvaluationBatches
        from input_pipeline.datasets.from_arrays import record_of_arrays, stored_features
        from input_pipeline.datasets.video_source import source_from_arrays, video_facts

        values = self.settings.inputs
        stored = stored_features(features, values.data, f"video {video_id!r}")
        check_feature_width(self._trained, stored.shape[1], f"video {video_id!r}: features")
        record = record_of_arrays(video_id, len(features), proposals_seconds, values.data, fps, duration_seconds)
        source = source_from_arrays([record], [stored], self.class_names)
        batches = EvaluationBatches(
            source, seed=values.seed, align=self._align, videos_per_batch=self._parallel.num_local_devices
        )
        ((index, row),) = self._inference(self._trained.variables, [batches.batch(0)])
        assert self._trained.regression_stats is not None
        return to_video_scores(row, Video(*video_facts(source)(index)), self._trained.regression_stats)


def read_annotations(path: str | os.PathLike, protocol: str, subset: str | None = None) -> GroundTruth:
    """The annotated instances of a file in ActivityNet's JSON form or THUMOS14's flat form.

    The videos are those of `subset`; by default, of the subset that `protocol` evaluates. If the file names no subsets,
    all its videos are read. InputError: the file is wrong; the message names the file and the video.
    """
    from input_pipeline.formats import annotations

    videos = annotations.read_annotations(path)
    return annotations.ground_truth(videos, protocol, subset, annotations.class_names(videos), path)


def read_features(path: str | os.PathLike, video_id: str | None = None) -> np.ndarray:
    """Snippet features [T, D] of one video: float16 if the file has float16, else float32.

    With `video_id`, path is a folder with one file per video, or one file for all videos. Without it, path is the file
    of one video. Files: .npy, .npz, HDF5, and torch tensors (torch is not needed).
    InputError: a file or key is missing or damaged, or a value is not finite; the message names the file and the video.
    """
    from input_pipeline.formats import features

    return features.read_features(Path(path), video_id)
