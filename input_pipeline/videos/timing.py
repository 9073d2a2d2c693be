"""The length of a video in frames, seconds and snippets, if the files do not give all three."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Timing:
    """How seconds and snippets become frames if a file does not say it. The fields are keys of config.data.

    fps: frames per second. snippet_stride, snippet_length: frames. num_bins: features are rescaled to this many bins
    over the whole video; 0: snippets by stride.
    """

    fps: float
    snippet_stride: int
    snippet_length: int
    num_bins: int

    def frames_of(self, num_snippets: int) -> int:
        """The number of frames that this number of snippets covers."""
        return (num_snippets - 1) * self.snippet_stride + self.snippet_length

    def expected_snippets(self, num_frames: int) -> tuple[int, int]:
        """(fewest, most) snippets that a video may have: from only those that fit whole, less one, to one at every
        stride, plus one."""
        whole = (num_frames - self.snippet_length) // self.snippet_stride + 1
        return max(1, whole - 1), -(-num_frames // self.snippet_stride) + 1

    def fits(self, num_snippets: int, num_frames: int) -> bool:
        """Whether a video of `num_frames` may have `num_snippets`; always True for rescaled features."""
        fewest, most = self.expected_snippets(num_frames)
        return bool(self.num_bins) or fewest <= num_snippets <= most
