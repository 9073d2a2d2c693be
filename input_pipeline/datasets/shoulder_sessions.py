"""Untrimmed sessions spliced from real wrist recordings, their snippet features and sliding-window proposals.

Every signal sample is measured (Burns et al. 2018, see datasets/shoulder.py). Only the order is made here: a session is
a plain concatenation of contiguous cuts ("bouts") of the recordings of one person and one side. A "frame" is one 50 Hz
sample.
"""

import hashlib
import importlib.util
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from contextloc_jax.core.errors import InputError
from contextloc_jax.core.keyed_draws import KeyedDraws

FPS = 50
SNIPPET_LENGTH, SNIPPET_STRIDE = 64, 8  # frames
RECORDINGS_SHA256 = (
    "eb122f23cdf06ef6bd6c6c5312958ec5cf9d038e2e6d457b8081662c75a42537"  # of seglearn 1.2.5's watch_dataset.npy
)
ACTIONS = ("PEN", "ABD", "FEL", "IR", "ER")  # class indices 1..5, in this order
BACKGROUND = ("TRAP", "ROW")
SIDES = ("left", "right")  # the file's side 0 and 1
NUM_CHANNELS, SPECTRUM_BINS = 6, 16
RAW_WIDTH = NUM_CHANNELS * (4 + SPECTRUM_BINS)


@dataclass(frozen=True)
class Composition:
    """The parts of a session. All lengths are in seconds, and ranges include both ends."""

    rounds: tuple[int, int] = (5, 8)
    background_seconds: tuple[float, float] = (3.0, 9.0)
    action_seconds: tuple[float, float] = (4.0, 18.0)
    sessions_per_side: int = 4


@dataclass(frozen=True)
class Session:
    """One spliced session: `signal` [frames, 6] with G action bouts.

    gt_labels: [G] class indices. gt_segments: [G, 2] frames, [start, end). bouts: where every cut came from: (exercise,
    first frame in the recording, number of frames).
    """

    person: int
    side: int
    number: int
    signal: np.ndarray
    gt_labels: np.ndarray
    gt_segments: np.ndarray
    bouts: tuple[tuple[str, int, int], ...]

    @property
    def group(self) -> str:
        return f"person{self.person:02d}"

    @property
    def video_id(self) -> str:
        return f"{self.group}_{SIDES[self.side]}_{self.number}"


def recordings_file() -> Path:
    """The data file of the installed `seglearn` package, found without importing the package."""
    spec = importlib.util.find_spec("seglearn")
    path = Path(next(iter(spec.submodule_search_locations))) / "data" / "watch_dataset.npy" if spec else None
    if path is None or not path.is_file():
        raise InputError(
            "the shoulder recordings (seglearn/data/watch_dataset.npy) are not installed: pip install seglearn==1.2.5"
        )
    return path


def read_recordings(path: Path) -> dict[tuple[int, int, str], np.ndarray]:
    """{(person 1..10, side 0 left / 1 right, exercise): signal [frames, 6] float64}, one recording for each key.

    The file is a pickle, which may run code: only the one with the known digest is loaded. InputError: another file.
    """
    content = Path(path).read_bytes()
    if hashlib.sha256(content).hexdigest() != RECORDINGS_SHA256:
        raise InputError(f"{path}: not the recordings of seglearn 1.2.5 (digest differs): pip install seglearn==1.2.5")
    data = np.load(io.BytesIO(content), allow_pickle=True).item()
    columns = zip(data["subject"], data["side"], data["y"], data["X"], strict=True)
    return {(int(p), int(s), data["y_labels"][int(y)]): np.asarray(x, np.float64) for p, s, y, x in columns}


def splice_session(recordings, person: int, side: int, number: int, seed: int, composition: Composition) -> Session:
    """Draws and concatenates one session. It depends only on (seed, person, side, number)."""
    draws = KeyedDraws(seed, person, side, number)
    cuts, bouts, labels, segments = [], [], [], []
    frame = 0

    def draw_between(low: int, high: int) -> int:
        return low + draws.choice(high - low + 1)

    def add_bout(exercises: tuple[str, ...], seconds: tuple[float, float]) -> tuple[str, int]:
        exercise = exercises[draws.choice(len(exercises))]
        recording = recordings[person, side, exercise]
        length = min(draw_between(round(seconds[0] * FPS), round(seconds[1] * FPS)), len(recording))
        first = draw_between(0, len(recording) - length)
        cuts.append(recording[first : first + length])
        bouts.append((exercise, first, length))
        return exercise, length

    for _ in range(draw_between(*composition.rounds)):
        frame += add_bout(BACKGROUND, composition.background_seconds)[1]
        exercise, length = add_bout(ACTIONS, composition.action_seconds)
        labels.append(ACTIONS.index(exercise) + 1)
        segments.append((frame, frame + length))
        frame += length
    signal = np.concatenate(cuts)
    return Session(person, side, number, signal, np.array(labels), np.array(segments), tuple(bouts))


def splice_sessions(recordings, people, seed: int, composition: Composition) -> list[Session]:
    """All sessions of these people: `sessions_per_side` for each side, numbered from 1."""
    return [
        splice_session(recordings, person, side, number, seed, composition)
        for person in people
        for side in range(len(SIDES))
        for number in range(1, composition.sessions_per_side + 1)
    ]


def snippet_statistics(signal: np.ndarray) -> np.ndarray:
    """[frames, 6] -> [T, 120]: per channel mean, std, min, max and magnitudes of the spectrum's bins 1..16.

    Snippet t covers frames [8 t, 8 t + 64); T = 1 + (frames - 64) // 8. Bin k of a snippet is k * 50 / 64 Hz; bin 0
    is left out because it is the mean.
    """
    windows = np.lib.stride_tricks.sliding_window_view(signal, SNIPPET_LENGTH, axis=0)[::SNIPPET_STRIDE]  # [T, 6, 64]
    spectrum = np.abs(np.fft.rfft(windows, axis=-1))[..., 1 : SPECTRUM_BINS + 1]
    moments = np.stack([windows.mean(-1), windows.std(-1), windows.min(-1), windows.max(-1)], axis=-1)
    return np.concatenate([moments, spectrum], axis=-1).reshape(len(windows), RAW_WIDTH)


@dataclass(frozen=True)
class Standardizer:
    """Mean and standard deviation [120] of the training people's snippets, then a fixed projection [120, D], relu."""

    mean: np.ndarray
    std: np.ndarray
    projection: np.ndarray

    @classmethod
    def fit(cls, training_statistics: list[np.ndarray], width: int, projection_seed: int) -> "Standardizer":
        rows = np.concatenate(training_statistics)
        projection = np.random.RandomState(projection_seed).standard_normal((rows.shape[1], width))
        return cls(rows.mean(0), np.maximum(rows.std(0), 1e-8), projection / np.sqrt(rows.shape[1]))

    def __call__(self, statistics: np.ndarray, dtype) -> np.ndarray:
        """[T, 120] -> non-negative snippet features [T, D] of `dtype`."""
        return np.maximum((statistics - self.mean) / self.std @ self.projection, 0).astype(dtype)
