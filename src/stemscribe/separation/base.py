"""What a separation model is to the rest of the house."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from stemscribe.arrays import Array


class Separator(Protocol):
    """One window in, its stems out: no files, no overlap, no progress."""

    @property
    def stems(self) -> tuple[str, ...]:
        """The names of the stems, in the order in which `separate` gives them."""
        ...

    @property
    def sample_rate(self) -> int:
        """In Hz."""
        ...

    @property
    def channels(self) -> int: ...

    @property
    def window_frames(self) -> int:
        """How many frames the model sees at once."""
        ...

    @property
    def normalised(self) -> bool:
        """Whether `separate` is to be given the mix at unit level, or else as it is in the film."""
        ...

    @property
    def runtime(self) -> str:
        """What computes it, with its version and device."""
        ...

    def load(self) -> None:
        """Make ready what `separate` needs; without it, the first window pays for that."""
        ...

    def separate(self, mix: Array) -> Array:
        """The stems of one window.

        Args:
            mix: `[channels, window_frames]`; where it is to be `normalised`, to the whole file's mean and standard
                deviation.

        Returns:
            `[stems, channels, window_frames]` at the same level; the same for the same input, bit by bit, whichever
            thread asks, and whatever others ask meanwhile.
        """
        ...


@runtime_checkable
class BatchSeparator(Separator, Protocol):
    """One that computes on a device which is faster with several windows at once."""

    @property
    def batch(self) -> int:
        """How many windows it is to be given at once."""
        ...

    def separate_batch(self, mixes: Sequence[Array]) -> Sequence[Array]:
        """The stems of several windows, each as `separate` takes and gives them; the same for the same batch."""
        ...
