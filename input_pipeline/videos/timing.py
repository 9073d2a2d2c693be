"""How long a video is in frames, seconds and snippets, where the files do not say all three."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Timing:
    """How seconds and snippets become frames where a file does not say; the fields are keys of config.data.

    fps: frames a second. snippet_stride, snippet_length: frames. num_bins: features are rescaled to so many bins over
    the whole video; 0: snippets by stride.
    """

    fps: float
    snippet_stride: int
    snippet_length: int
    num_bins: int

    def frames_of(self, num_snippets: int) -> int:
        """Frames that so many snippets span."""
        return (num_snippets - 1) * self.snippet_stride + self.snippet_length

    def expected_snippets(self, num_frames: int) -> tuple[int, int]:
        """[fewest, most] snippets of a video: only those that fit whole, or one at every stride; one more or less."""
        whole = (num_frames - self.snippet_length) // self.snippet_stride + 1
        return max(1, whole - 1), -(-num_frames // self.snippet_stride) + 1

    def fits(self, num_snippets: int, num_frames: int) -> bool:
        """Whether so many snippets can be those of so many frames; of rescaled features, always."""
        fewest, most = self.expected_snippets(num_frames)
        return bool(self.num_bins) or fewest <= num_snippets <= most
